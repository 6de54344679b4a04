"""Whatever the schedule and the zone: ticks in order, none doubled, none lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from headway.schedule import Cron, CronError, Schedule, zone
from headway_coordinator.schedule import (
    GRACE,
    due,
    fires_at,
    interval,
    next_tick,
    previous_tick,
    ticks_between,
)

ZONES = (
    *("UTC", "Europe/Paris", "Europe/London", "America/New_York", "Australia/Lord_Howe"),
    *("America/Sao_Paulo", "Asia/Tehran", "Africa/Casablanca", "Pacific/Apia", "Asia/Kathmandu"),
    *("America/Havana", "Antarctica/Troll", "Africa/Monrovia", "America/Caracas"),
)
MOMENTS = st.integers(0, 70 * 366 * 86400).map(
    lambda seconds: datetime(1975, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, milliseconds=1)
)
MINUTES = st.sampled_from(["*", "*/7", "*/30", "0", "15,45", "0-20/5", "59"])
HOURS = st.sampled_from(["*", "*/5", "0-3", "2", "1,2,3", "23"])
DAYS = st.sampled_from(["*", "1", "L", "LW", "*/10", "28-31"])
MONTHS = st.sampled_from(["*", "3,10", "JAN-MAR", "*/2"])
WEEKDAYS = st.sampled_from(["*", "SUN", "1-5", "5L", "MON#1"])
EVERY = st.sampled_from([1.0, 60.0, 90.5, 3600.0, 86400.0 * 7])


@st.composite
def crons(draw: st.DrawFn) -> Cron:
    text = " ".join(draw(field) for field in (MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS))
    try:
        return Cron.parse(text)
    except CronError:
        assume(False)
        raise


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    by_cron = draw(st.booleans())
    start = draw(st.none() | MOMENTS)
    return Schedule(
        cron=draw(crons()) if by_cron else None,
        every=None if by_cron else timedelta(seconds=draw(EVERY)),
        zone=zone(draw(st.sampled_from(ZONES))),
        start=start,
        end=None if start is None else draw(st.none() | st.just(start + timedelta(days=40))),
        missed=draw(st.sampled_from(["all", "latest", "none"])),
        jitter=timedelta(seconds=draw(st.sampled_from([0, 0, 30, 900]))),
        key=("team", "pipeline", "trigger"),
    )


@given(schedules(), MOMENTS)
@settings(deadline=None)
def test_ticks_strictly_increase_and_lie_in_bounds(made: Schedule, after: datetime) -> None:
    ticks = ticks_between(made, after, after + timedelta(days=3000), 30)
    for earlier, later in pairwise([after, *ticks]):
        assert earlier < later
    for tick in ticks:
        assert made.start is None or tick >= made.start
        assert made.end is None or tick <= made.end


@given(schedules(), MOMENTS)
@settings(deadline=None)
def test_the_tick_before_the_next_one_is_not_later(made: Schedule, after: datetime) -> None:
    tick = next_tick(made, after)
    assume(tick is not None)
    assert tick is not None
    before = previous_tick(made, tick)
    assert before is None or before <= after
    assert before is None or next_tick(made, before) == tick
    first, last = interval(made, tick)
    assert first < last == tick
    assert before is None or first == before


@given(schedules(), MOMENTS, st.lists(st.floats(0, 1), max_size=5), st.integers(1, 20))
@settings(deadline=None)
def test_looking_more_often_finds_the_same_ticks(
    made: Schedule, last: datetime, shares: list[float], limit: int
) -> None:
    """With `all`, whenever somebody looks, and whatever the limit, each tick runs once."""
    made = replaced(made, missed="all")
    ticks = ticks_between(made, last, last + timedelta(days=300), 30)
    span = (ticks[-1] - last if ticks else timedelta(days=1)) + 2 * made.jitter
    now = position = last
    found: list[datetime] = []
    for share in [*sorted(shares), 1.0]:
        now = last + share * span
        while (one := due(made, position, now, limit)).run:
            found += one.run
            position = one.last
    whole = due(made, last, now, 10_000)
    assert found == list(whole.run)
    assert found[: len(ticks)] == ticks
    assert whole.dropped == ()


@given(schedules(), MOMENTS, st.lists(st.integers(-7200, 7200), min_size=1, max_size=12))
@settings(deadline=None)
def test_no_tick_comes_twice_whatever_the_clock_does(
    made: Schedule, now: datetime, steps: list[int]
) -> None:
    last, told = now, []
    for step in steps:
        now += timedelta(seconds=step)
        found = due(made, last, now, 10_000)
        assert found.last >= last
        assert len(found.run) <= 1 or made.missed != "latest"
        assert all(fires_at(made, tick) <= now for tick in found.run)
        if made.missed == "none" and not made.jitter:
            assert all(now - tick <= GRACE for tick in found.run)
        told += sorted([*found.run, *found.dropped])
        last = found.last
    assert len(told) == len(set(told))
    assert told == sorted(told)


def replaced(made: Schedule, *, missed: str) -> Schedule:
    return Schedule(
        made.cron, made.every, made.zone, made.start, made.end, made.jitter, missed, made.key
    )
