"""Which dates of a schedule a backfill runs: a range, and what became of earlier runs of its dates.

A date is a tick of the schedule with its data interval. Two are the same if they are the same to
the millisecond, as runs keep them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from headway.clock import rfc3339
from headway.schedule import Schedule, interval, next_ticks
from headway.schedule.zones import moment_of
from headway_coordinator.engine.states import RUN_TERMINAL, RunStatus

Only = Literal["all", "failed", "missing"]

# Beside a run's own states: it does not move any more, the request for it was refused, or there was
# no run because the trigger's `if` was false.
STUCK, REFUSED, FILTERED = "quarantined", "refused", "filtered"
DATE_ENDED = frozenset({*RUN_TERMINAL, STUCK, REFUSED, FILTERED})
DATE_FAILED = DATE_ENDED - {RunStatus.SUCCEEDED, FILTERED}

_LEAST = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Date:
    """A logical date and the interval of data that its run stands for."""

    logical_date: datetime
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class RunOfDate:
    """What became of a run of a date, or of the wish for one."""

    logical_date: datetime
    state: str


def dates_between(schedule: Schedule, first: datetime, until: datetime, limit: int) -> list[Date]:
    """Return the dates from `first` to `until`, both included, the first `limit` of them."""
    found: list[Date] = []
    for tick in next_ticks(schedule, first - _LEAST):
        if tick > until or len(found) == limit:
            break
        # The tick before is known but for the first one, whose search costs more than all else.
        start = found[-1].logical_date if found else interval(schedule, tick)[0]
        found.append(Date(tick, start, tick))
    return found


def chosen(only: Only, dates: Sequence[Date], runs: Iterable[RunOfDate]) -> list[Date]:
    """Return the dates to run; `runs` are the earlier ones of the pipeline, the oldest first.

    missing: no run of the date has succeeded or is under way. failed: its newest run has ended and
    did not succeed.
    """
    if only == "all":
        return list(dates)
    states: dict[str, list[str]] = {}
    for run in runs:
        states.setdefault(rfc3339(run.logical_date), []).append(run.state)
    wants = _is_missing if only == "missing" else _has_failed
    return [each for each in dates if wants(states.get(rfc3339(each.logical_date), []))]


def _is_missing(states: Sequence[str]) -> bool:
    return all(state in DATE_FAILED for state in states)


def _has_failed(states: Sequence[str]) -> bool:
    return bool(states) and states[-1] in DATE_FAILED


def moment_in(zone: ZoneInfo, text: str, *, is_end: bool) -> datetime:
    """Return the moment of an RFC 3339 time or of a day, which is meant from its start to its end.

    A day is one of `zone`. Raises ValueError for another text.
    """
    try:
        if len(text) == 10:
            day = date.fromisoformat(text) + timedelta(days=is_end)
            shown = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - local time
            return moment_of(zone, shown) - (_LEAST if is_end else timedelta())
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError(f"`{text}` has no time zone")
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"`{text}` is out of range") from error
