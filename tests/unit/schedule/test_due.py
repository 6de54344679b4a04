"""Which ticks run: missed ones, limits, jitter, and clocks that are wrong."""

from __future__ import annotations

from datetime import timedelta

import pytest

from headway_coordinator.schedule import GRACE, Due, due, fires_at, ticks_between
from tests.unit.schedule.schedules import at, schedule

NOON = at("2026-01-01T12:00Z")
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)


def test_nothing_is_due_before_the_tick() -> None:
    made = schedule("0 * * * *")
    assert due(made, NOON, NOON + 59 * MINUTE, 10) == Due((), (), NOON, NOON + HOUR, NOON + HOUR)


@pytest.mark.parametrize("missed", ["all", "latest", "none"])
def test_a_tick_in_time_runs_whatever_missed_says(missed: str) -> None:
    made = schedule("0 * * * *", missed=missed)
    for late in (timedelta(), GRACE):
        found = due(made, NOON, NOON + HOUR + late, 10)
        assert found == Due((NOON + HOUR,), (), NOON + HOUR, NOON + 2 * HOUR, NOON + 2 * HOUR)


def test_all_runs_each_missed_tick_in_order_and_by_the_limit() -> None:
    made = schedule("0 * * * *", missed="all")
    now = NOON + 5.5 * HOUR
    first = due(made, NOON, now, 3)
    assert first.run == (NOON + HOUR, NOON + 2 * HOUR, NOON + 3 * HOUR)
    assert (first.wake, first.last) == (NOON + 4 * HOUR, NOON + 3 * HOUR)
    second = due(made, first.last, now, 3)
    assert second.run == (NOON + 4 * HOUR, NOON + 5 * HOUR)
    assert second.wake == NOON + 6 * HOUR


def test_latest_runs_the_newest_and_drops_the_others() -> None:
    made = schedule("0 * * * *", missed="latest")
    found = due(made, NOON, NOON + 5.5 * HOUR, 10)
    assert found.run == (NOON + 5 * HOUR,)
    assert found.dropped == tuple(NOON + hour * HOUR for hour in (1, 2, 3, 4))
    assert found.wake == NOON + 6 * HOUR


def test_none_drops_what_is_older_than_the_grace() -> None:
    made = schedule("0 * * * *", missed="none")
    late = due(made, NOON, NOON + 2 * HOUR + GRACE + SECOND, 10)
    assert (late.run, late.dropped) == ((), (NOON + HOUR, NOON + 2 * HOUR))
    assert (late.last, late.wake) == (NOON + 2 * HOUR, NOON + 3 * HOUR)
    found = due(made, NOON, NOON + 2 * HOUR + GRACE, 10)
    assert (found.run, found.dropped) == ((NOON + 2 * HOUR,), (NOON + HOUR,))


def test_seconds_between_two_looks_lose_nothing_with_all_and_none() -> None:
    for missed in ("all", "none"):
        made = schedule(every=1.0, missed=missed)
        found = due(made, NOON, NOON + 5 * SECOND, 100)
        assert found.run == tuple(NOON + n * SECOND for n in range(1, 6))


@pytest.mark.parametrize("missed", ["latest", "none"])
def test_an_outage_of_years_costs_no_more_than_the_limit(missed: str) -> None:
    made = schedule(every=1.0, missed=missed)
    now = NOON + timedelta(days=3000)
    found = due(made, NOON, now, 100)
    assert len(found.run) == (1 if missed == "latest" else 61)
    assert found.dropped == tuple(NOON + n * SECOND for n in range(1, 101))
    assert (found.last, found.wake) == (now, now + SECOND)


def test_a_clock_that_is_set_back_gives_nothing_again() -> None:
    made = schedule("0 * * * *", missed="all")
    first = due(made, NOON, NOON + 2 * HOUR, 10)
    back = due(made, first.last, NOON + HOUR, 10)
    assert (back.run, back.dropped, back.last) == ((), (), first.last)
    assert back.wake == NOON + 3 * HOUR


def test_after_the_end_nothing_comes() -> None:
    made = schedule("0 * * * *", end="2026-01-01T13:00:00Z")
    found = due(made, NOON, NOON + HOUR, 10)
    assert (found.run, found.next, found.wake) == ((NOON + HOUR,), None, None)


def test_jitter_moves_the_firing_and_never_the_tick() -> None:
    key = ("analytics", "sales", "nightly")
    made = schedule("0 * * * *", jitter=600.0, key=key)
    tick = NOON + HOUR
    fires = fires_at(made, tick)
    assert tick < fires < tick + 600 * SECOND
    waiting = due(made, NOON, fires - SECOND, 10)
    assert (waiting.run, waiting.next, waiting.wake) == ((), tick, fires)
    assert due(made, NOON, fires, 10).run == (tick,)


def test_jitter_is_drawn_from_the_key_and_the_tick() -> None:
    ticks = [NOON + hour * HOUR for hour in range(200)]
    one, other = (
        schedule("0 * * * *", jitter=600.0, key=("t", "p", name)) for name in ("one", "other")
    )
    delays = [fires_at(one, tick) - tick for tick in ticks]
    assert delays == [fires_at(one, tick) - tick for tick in ticks]
    assert delays != [fires_at(other, tick) - tick for tick in ticks]
    assert len(set(delays)) == len(ticks)
    assert sum(delays, timedelta()) / len(ticks) == pytest.approx(300 * SECOND, abs=60 * SECOND)
    assert fires_at(schedule("0 * * * *"), NOON) == NOON


@pytest.mark.parametrize("missed", ["all", "latest", "none"])
def test_jitter_that_is_longer_than_the_ticks_are_apart_loses_no_tick_silently(missed: str) -> None:
    made = schedule("* * * * *", jitter=600.0, missed=missed, key=("t", "p", "n"))
    last, told = NOON, []
    for second in range(0, 3600, 7):
        found = due(made, last, NOON + second * SECOND, 100)
        assert found.last >= last
        told += [*found.run, *found.dropped]
        last = found.last
    assert len(told) == len(set(told))
    assert sorted(told) == ticks_between(made, NOON, last, 100)
    assert last > NOON + 45 * MINUTE
