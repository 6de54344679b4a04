"""Which dates a backfill runs."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from headway.schedule import interval
from headway_coordinator.schedule.backfilling import (
    Date,
    Only,
    RunOfDate,
    chosen,
    dates_between,
    moment_in,
)
from tests.unit.schedule.schedules import at, schedule

FIRST = at("2026-01-01T00:00:00Z")
DAY = timedelta(days=1)


def test_both_ends_of_the_range_are_included() -> None:
    daily = schedule(every=86400)
    found = dates_between(daily, FIRST, FIRST + 2 * DAY, 10)
    assert [each.logical_date for each in found] == [FIRST, FIRST + DAY, FIRST + 2 * DAY]
    assert len(dates_between(daily, FIRST, FIRST + 2 * DAY, 2)) == 2
    assert dates_between(daily, FIRST + timedelta(seconds=1), FIRST + timedelta(hours=9), 9) == []


@pytest.mark.parametrize("cron", ["30 2 * * *", "*/20 * * * *", "0 6 * * 1-5"])
def test_the_intervals_are_those_of_the_ticks_also_where_clocks_are_moved(cron: str) -> None:
    paris = schedule(cron, timezone="Europe/Paris")
    first, until = at("2026-03-27T00:00:00Z"), at("2026-04-02T00:00:00Z")
    found = dates_between(paris, first, until, 1000)
    assert len(found) > 2
    assert all((each.start, each.end) == interval(paris, each.logical_date) for each in found)


def test_the_schedules_own_start_holds() -> None:
    begun = schedule(every=86400, start="2026-01-03T00:00:00Z")
    found = dates_between(begun, FIRST, FIRST + 3 * DAY, 10)
    assert [each.logical_date for each in found] == [FIRST + 2 * DAY, FIRST + 3 * DAY]


@pytest.mark.parametrize(
    ("states", "missing", "failed"),
    [
        ([], True, False),
        (["succeeded"], False, False),
        (["failed"], True, True),
        (["timed_out", "cancelled"], True, True),
        (["succeeded", "failed"], False, True),
        (["failed", "succeeded"], False, False),
        (["failed", "running"], False, False),
        (["failed", "queued"], False, False),
        (["cancelling"], False, False),
        (["quarantined"], True, True),
        (["refused"], True, True),
        (["filtered"], False, False),
    ],
)
def test_what_earlier_runs_leave_of_a_date(states: list[str], missing: bool, failed: bool) -> None:
    dates = [Date(FIRST, FIRST - DAY, FIRST)]
    # A run keeps its date to the millisecond.
    runs = [RunOfDate(FIRST + timedelta(microseconds=1), state) for state in states]
    wants: dict[Only, bool] = {"all": True, "missing": missing, "failed": failed}
    for only, wanted in wants.items():
        assert bool(chosen(only, dates, runs)) is wanted


def test_a_run_of_another_date_means_nothing() -> None:
    dates = [Date(FIRST, FIRST - DAY, FIRST), Date(FIRST + DAY, FIRST, FIRST + DAY)]
    assert chosen("missing", dates, [RunOfDate(FIRST, "succeeded")]) == dates[1:]
    assert chosen("failed", dates, [RunOfDate(FIRST + DAY, "failed")]) == dates[1:]


def test_a_day_is_one_of_the_zone_from_its_start_to_its_end() -> None:
    apia = ZoneInfo("Pacific/Apia")
    assert moment_in(apia, "2026-01-31", is_end=False) == at("2026-01-30T11:00:00Z")
    end = moment_in(apia, "2026-01-31", is_end=True)
    assert end == at("2026-01-31T11:00:00Z") - timedelta(microseconds=1)
    assert moment_in(apia, "2026-01-31T06:00:00+01:00", is_end=True) == at("2026-01-31T05:00:00Z")


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-02-30", "2026-01-01T06:00", "9999-12-31", "0001-01-01T00:00:00+14:00"],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        moment_in(ZoneInfo("UTC"), text, is_end=True)
