"""Ticks without moved clocks: intervals, start and end, far years, and the canonical form."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from headway.schedule import Schedule, interval, next_tick, previous_tick, ticks_between
from tests.unit.schedule.schedules import at, schedule

HOUR = timedelta(hours=1)


def test_an_interval_is_counted_from_the_epoch_whatever_clocks_do() -> None:
    made = schedule(every=7 * 3600.0, timezone="Europe/Paris")
    ticks = ticks_between(made, at("2026-03-28T00:00Z"), at("2026-03-30T00:00Z"), 100)
    assert all((tick - at("1970-01-01T00:00Z")) % (7 * HOUR) == timedelta() for tick in ticks)
    assert {later - tick for tick, later in pairwise(ticks)} == {7 * HOUR}
    assert interval(made, ticks[0]) == (ticks[0] - 7 * HOUR, ticks[0])


def test_an_interval_is_counted_from_its_start() -> None:
    made = schedule(every=90.5, start="2026-01-01T00:00:10.250Z", end="2026-01-01T00:03:11.250Z")
    start = at("2026-01-01T00:00:10.250Z")
    step = timedelta(seconds=90.5)
    assert next_tick(made, at("2000-01-01T00:00Z")) == start
    assert next_tick(made, start) == start + step
    assert next_tick(made, start + step) == start + 2 * step
    assert next_tick(made, start + 2 * step) is None
    assert previous_tick(made, at("2030-01-01T00:00Z")) == start + 2 * step
    assert previous_tick(made, start) is None
    assert interval(made, start) == (start - step, start)


def test_start_and_end_are_included() -> None:
    made = schedule("0 6 * * *", start="2026-01-02T06:00:00Z", end="2026-01-04T06:00:00Z")
    ticks = ticks_between(made, at("2025-01-01T00:00Z"), at("2027-01-01T00:00Z"), 100)
    assert ticks == [at(f"2026-01-0{day}T06:00Z") for day in (2, 3, 4)]
    assert previous_tick(made, at("2027-01-01T00:00Z")) == ticks[-1]
    assert previous_tick(made, ticks[0]) is None
    assert interval(made, ticks[0])[0] == at("2026-01-01T06:00Z")


def test_parts_of_a_second_do_not_matter() -> None:
    made = schedule("0 6 * * *")
    tick = at("2026-01-02T06:00Z")
    least = timedelta(microseconds=1)
    assert next_tick(made, tick - least) == tick
    assert next_tick(made, tick + least) == tick + 24 * HOUR
    assert previous_tick(made, tick + least) == tick
    assert previous_tick(made, tick - least) == tick - 24 * HOUR


def test_moments_of_any_zone_are_taken() -> None:
    made = schedule("0 6 * * *")
    assert next_tick(made, datetime.fromisoformat("2026-01-02T08:00+03:00")) == at(
        "2026-01-02T06:00Z"
    )
    found = next_tick(schedule(every=60.0), datetime.fromisoformat("2026-01-02T08:00:30+03:00"))
    assert found == at("2026-01-02T05:01Z")


@pytest.mark.parametrize("cron", ["0 0 1 1 *", "*/5 * * * *", "0 12 * * 1"])
def test_the_last_year_that_there_is(cron: str) -> None:
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert next_tick(schedule(cron), last) is None
    assert next_tick(schedule(cron, timezone="America/New_York"), last) is None
    assert next_tick(schedule(every=3600.0), last) is None


def test_days_that_are_rare() -> None:
    assert next_tick(schedule("0 0 29 2 *"), at("2026-01-01T00:00Z")) == at("2028-02-29T00:00Z")
    assert next_tick(schedule("0 0 * 2 MON#5"), at("2026-01-01T00:00Z")) == at("2044-02-29T00:00Z")
    assert previous_tick(schedule("0 0 29 2 *"), at("2026-01-01T00:00Z")) == at("2024-02-29T00:00Z")
    assert next_tick(schedule("0 17 LW * *"), at("2026-05-01T00:00Z")) == at("2026-05-29T17:00Z")


def test_a_star_expression_of_few_days_is_found_over_many_changes() -> None:
    made = schedule("*/30 12 29 2 *", timezone="Europe/Paris")
    assert next_tick(made, at("2026-03-01T00:00Z")) == at("2028-02-29T11:00Z")
    assert previous_tick(made, at("2026-03-01T00:00Z")) == at("2024-02-29T11:30Z")


@pytest.mark.parametrize("keys", [{}, {"every": 60.0}], ids=["neither", "both"])
def test_a_schedule_has_either(keys: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either"):
        schedule("* * * * *" if keys else None, **keys)


def test_it_is_a_value() -> None:
    assert schedule("@daily") == schedule("0 0 * * *")
    assert hash(schedule("@daily")) == hash(schedule("0 0 * * *"))
    assert isinstance(schedule("@daily"), Schedule)
