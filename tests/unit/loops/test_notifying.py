"""The loop of notifications: it sends while it leads, and then waits for what is due."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headway_coordinator.application.ports import StorageUnavailable
from headway_coordinator.loops.notifying import NotifyLoop

NOW = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)


class House:
    """The lease, the outbox and what sends; `due` are sent when they are taken."""

    def __init__(self) -> None:
        self.leads = True
        self.due: list[str] = []
        self.following: datetime | None = None
        self.trouble: Exception | None = None
        self.looks = 0
        self.sent: list[str] = []
        self.loop = NotifyLoop(
            leadership=cast(Any, SimpleNamespace(hold=lambda: True if self.leads else None)),
            notifications=cast(Any, self),
            send=cast(Any, self.sent.append),
            now=lambda: NOW,
        )

    def waiting(self, limit: int) -> tuple[list[str], datetime | None]:
        self.looks += 1
        if self.trouble is not None:
            raise self.trouble
        page, self.due = self.due[:limit], self.due[limit:]
        return page, self.following

    def tick(self) -> None:
        self.loop.wake()
        self.loop.tick()


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    yield made
    made.loop.close()


def test_all_that_is_due_is_sent(house: House) -> None:
    house.due = [f"n{number}" for number in range(11)]
    house.tick()
    house.tick()
    assert sorted(house.sent) == sorted(f"n{number}" for number in range(11))


def test_who_does_not_lead_looks_at_nothing(house: House) -> None:
    house.leads, house.due = False, ["n1"]
    house.tick()
    assert (house.looks, house.sent) == (0, [])
    house.leads = True
    house.tick()
    assert house.sent == ["n1"]


def test_one_that_is_due_soon_is_not_waited_for_long(house: House) -> None:
    house.following = NOW + timedelta(milliseconds=60)
    house.tick()
    house.due = ["n1"]
    house.loop.tick()
    assert house.sent == ["n1"]


def test_while_the_database_is_away_it_goes_on_trying(house: House) -> None:
    house.trouble = StorageUnavailable("cut off")
    house.tick()
    house.trouble, house.due = None, ["n1"]
    house.tick()
    assert (house.sent, house.looks) == (["n1"], 2)


def test_without_notifications_it_has_no_threads(house: House) -> None:
    house.tick()
    assert house.loop._threads is None
