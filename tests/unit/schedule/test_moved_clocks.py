"""Ticks where clocks are moved: every expression against a count of all minutes, both ways."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from headway.schedule import interval, previous_tick, ticks_between
from tests.unit.schedule.schedules import at, counted, schedule, shown

DAY = timedelta(days=1)
# A zone, and the moment at which its clocks are moved.
CHANGES = [
    ("Europe/Paris", "2026-03-29T01:00Z"),
    ("Europe/Paris", "2026-10-25T01:00Z"),
    ("Europe/London", "2026-03-29T01:00Z"),
    ("Europe/London", "2026-10-25T01:00Z"),
    ("America/New_York", "2026-03-08T07:00Z"),
    ("America/New_York", "2026-11-01T06:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00Z"),  # half an hour
    ("Australia/Lord_Howe", "2026-10-03T15:30Z"),
    ("America/Sao_Paulo", "2018-02-18T02:00Z"),  # at midnight
    ("America/Sao_Paulo", "2018-11-04T03:00Z"),
    ("Asia/Tehran", "2021-03-21T20:30Z"),  # at midnight, from half past an hour
    ("Asia/Tehran", "2021-09-21T19:30Z"),
    ("Africa/Casablanca", "2026-02-15T02:00Z"),  # for Ramadan, and back
    ("Africa/Casablanca", "2026-03-22T02:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00Z"),  # a whole day is skipped
    ("Pacific/Kwajalein", "1993-08-21T12:00Z"),  # too
    ("Antarctica/Troll", "2026-03-29T01:00Z"),  # two hours
    ("Antarctica/Troll", "2026-10-25T01:00Z"),
    ("Asia/Pyongyang", "2018-05-04T15:00Z"),  # half an hour, for good
]
EVERY_HOUR = frozenset(range(24))
EXPRESSIONS = [
    ("30 2 * * *", {30}, {2}, True),
    ("0 0 * * *", {0}, {0}, True),
    ("15,45 0-3 * * *", {15, 45}, {0, 1, 2, 3}, True),
    ("0-59/20 1,2 * * *", {0, 20, 40}, {1, 2}, True),
    ("0 6 * * *", {0}, {6}, True),
    ("0 * * * *", {0}, EVERY_HOUR, False),
    ("*/30 0-3 * * *", {0, 30}, {0, 1, 2, 3}, False),
    ("*/20 * * * *", {0, 20, 40}, EVERY_HOUR, False),
    ("45 * * * *", {45}, EVERY_HOUR, False),
    ("*/15 2 * * *", {0, 15, 30, 45}, {2}, False),
]


@pytest.mark.parametrize(("cron", "minutes", "hours", "fixed"), EXPRESSIONS)
@pytest.mark.parametrize(("zone", "change"), CHANGES)
def test_as_counted_minute_by_minute(
    zone: str, change: str, cron: str, minutes: set[int], hours: set[int], fixed: bool
) -> None:
    first, last = at(change) - 1.5 * DAY, at(change) + 1.5 * DAY
    expected = counted(minutes, hours, zone, first, last, fixed=fixed)
    made = schedule(cron, timezone=zone)
    assert ticks_between(made, first, last, 1000) == expected
    assert len(expected) >= 2
    # From anywhere between two ticks the next and the previous one are the same.
    for before, after in pairwise(expected):
        for share in (0.01, 0.5, 0.99):
            between = before + (after - before) * share
            assert ticks_between(made, between, last, 1) == [after]
            assert previous_tick(made, between) == before
        assert interval(made, after) == (before, after)
        assert previous_tick(made, after) == before


def test_the_moment_is_one_at_which_clocks_are_moved() -> None:
    for zone, change in CHANGES:
        before, after = shown([at(change) - timedelta(seconds=1), at(change)], zone)
        assert before[-6:] != after[-6:], (zone, change)


@pytest.mark.parametrize(
    ("zone", "cron", "after", "expected"),
    [
        ("Europe/Paris", "30 2 * * *", "2026-03-28T12:00Z",
         ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]),
        ("Europe/Paris", "30 2 * * *", "2026-10-24T12:00Z",
         ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]),
        ("Europe/Paris", "*/30 2 * * *", "2026-10-24T12:00Z",
         ["2026-10-25T02:00+02:00", "2026-10-25T02:30+02:00", "2026-10-25T02:00+01:00"]),
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00Z",
         ["2026-10-04T02:30+11:00", "2026-10-05T02:15+11:00"]),
        ("Australia/Lord_Howe", "*/30 3 * * *", "2026-04-04T12:00Z",
         ["2026-04-05T03:00+10:30", "2026-04-05T03:30+10:30"]),
        ("America/Sao_Paulo", "0 0 * * *", "2018-11-03T12:00Z",
         ["2018-11-04T01:00-02:00", "2018-11-05T00:00-02:00"]),
        ("Pacific/Apia", "0 6 * * *", "2011-12-29T12:00Z",
         ["2011-12-29T06:00-10:00", "2011-12-31T00:00+14:00", "2011-12-31T06:00+14:00"]),
        ("Africa/Casablanca", "30 2 * * *", "2026-03-21T12:00Z",
         ["2026-03-22T03:00+01:00", "2026-03-23T02:30+01:00"]),
    ],
)  # fmt: skip
def test_what_people_see(zone: str, cron: str, after: str, expected: list[str]) -> None:
    made = schedule(cron, timezone=zone)
    ticks = ticks_between(made, at(after), at(after) + 9 * DAY, len(expected))
    assert shown(ticks, zone) == expected


def test_a_time_that_passed_while_clocks_showed_it_first_does_not_come_again() -> None:
    made = schedule("45 1 * * *", timezone="America/New_York")
    during_the_second = at("2026-11-01T06:30Z")
    [tick] = ticks_between(made, during_the_second, during_the_second + 2 * DAY, 1)
    assert shown([tick], "America/New_York") == ["2026-11-02T01:45-05:00"]
    assert previous_tick(made, during_the_second) == at("2026-11-01T05:45Z")
