"""The look at the API: how often, and what a failed one means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from headway.clock import ManualClock
from headway_coordinator.integrations.health import ApiWatch


def watch(clock: ManualClock, lease_s: float = 60) -> ApiWatch:
    return ApiWatch("http://127.0.0.1:1/", clock, lease=timedelta(seconds=lease_s))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(("lease_s", "pause_s"), [(600, 5), (60, 5), (36, 3), (12, 2), (3, 2)])
def test_the_api_is_looked_at_many_times_a_lease(
    clock: ManualClock, lease_s: float, pause_s: float
) -> None:
    looking = watch(clock, lease_s)
    assert looking.tick() == pause_s
    looking.close()


def test_it_is_healthy_since_the_first_of_good_looks(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = watch(clock)
    status = 200
    asked: list[str] = []

    def get(url: str) -> httpx2.Response:
        asked.append(url)
        return httpx2.Response(status)

    monkeypatch.setattr(looking._client, "get", get)
    looking.tick()
    clock.advance(timedelta(seconds=5))
    looking.tick()
    assert looking.healthy_for() == timedelta(seconds=5)
    status = 503
    looking.tick()
    assert looking.healthy_for() == timedelta()
    assert set(asked) == {"http://127.0.0.1:1/readyz"}
    looking.close()
