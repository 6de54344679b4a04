"""The ticks of a schedule, as moments in UTC.

What clocks that are moved mean, as in Debian's cron:

- An expression that names its hours and minutes (`30 2 * * *`) ticks once for each local time. If
  that is skipped, it ticks when clocks are put forward; ticks that fall together there are one. If
  it comes twice, it ticks the first time.
- An expression whose hour or minute begins with `*` (`*/15 * * * *`) follows the time that passes:
  it ticks whenever clocks show a fitting time, twice if they do so twice, never if they never do.
- An interval is counted in absolute time, from `start`, else from 1970-01-01T00:00:00Z.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from headway.schedule.cron import Cron
from headway.schedule.zones import first_change, last_change, local, moment_of, offset_at, zone

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_LEAST = timedelta(microseconds=1)
_FAR = timedelta(days=50 * 366)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Either `cron` in `zone`, or `every`; from `start` to `end`, both included.

    `key` names the schedule (team, pipeline, trigger): the jitter of a tick is drawn from it.
    """

    cron: Cron | None
    every: timedelta | None
    zone: ZoneInfo
    start: datetime | None = None
    end: datetime | None = None
    jitter: timedelta = timedelta()
    missed: str = "latest"
    key: tuple[str, ...] = ()

    @classmethod
    def of(cls, canonical: Mapping[str, Any], key: tuple[str, ...] = ()) -> Schedule:
        """Return what the `schedule` of a canonical trigger describes.

        Raises ValueError for what validation refuses.
        """
        cron, every = canonical["cron"], canonical["every"]
        if (cron is None) == (every is None):
            raise ValueError("a schedule has either `cron` or `every`")
        return cls(
            cron=None if cron is None else Cron.parse(cron),
            every=None if every is None else timedelta(seconds=every),
            zone=zone(canonical["timezone"]),
            start=_moment(canonical["start"]),
            end=_moment(canonical["end"]),
            jitter=timedelta(seconds=canonical["jitter"]),
            missed=canonical["missed"],
            key=key,
        )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def next_tick(schedule: Schedule, after: datetime) -> datetime | None:
    """Return the first tick after a moment; None when there is none before its end."""
    if schedule.start is not None and after < schedule.start:
        after = schedule.start - _LEAST
    try:
        tick = _next(schedule, after.astimezone(UTC))
    except OverflowError:
        return None  # beyond the years that datetime has
    if tick is None or (schedule.end is not None and tick > schedule.end):
        return None
    return tick


def next_ticks(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """Yield the ticks after a moment, in order, as long as there are any."""
    tick = next_tick(schedule, after)
    while tick is not None:
        yield tick
        tick = next_tick(schedule, tick)


def ticks_between(
    schedule: Schedule, after: datetime, until: datetime, limit: int
) -> list[datetime]:
    """Return the ticks after `after` up to and with `until`, the first `limit` of them."""
    found = []
    for tick in islice(next_ticks(schedule, after), limit):
        if tick > until:
            break
        found.append(tick)
    return found


def previous_tick(schedule: Schedule, before: datetime) -> datetime | None:
    """Return the last tick before a moment; None when there is none since its start."""
    if schedule.end is not None and before > schedule.end:
        before = schedule.end + _LEAST
    tick = _previous(schedule, before.astimezone(UTC))
    if tick is None or (schedule.start is not None and tick < schedule.start):
        return None
    return tick


def interval(schedule: Schedule, tick: datetime) -> tuple[datetime, datetime]:
    """Return the data interval of a tick: from the one before, which may precede `start`, to it."""
    before = _previous(schedule, tick.astimezone(UTC))
    return (tick if before is None else before), tick


# --- without start and end -----------------------------------------------------------------------


def _next(schedule: Schedule, after: datetime) -> datetime | None:
    if schedule.every is not None:
        anchor = schedule.start or _EPOCH
        return anchor + ((after - anchor) // schedule.every + 1) * schedule.every
    assert schedule.cron is not None
    after = after.replace(microsecond=0)
    if schedule.cron.is_fixed:
        return _next_fixed(schedule.cron, schedule.zone, after)
    return _next_passing(schedule.cron, schedule.zone, after)


def _previous(schedule: Schedule, before: datetime) -> datetime | None:
    try:
        if schedule.every is not None:
            anchor = schedule.start or _EPOCH
            return anchor - ((anchor - before) // schedule.every + 1) * schedule.every
        assert schedule.cron is not None
        if before.microsecond:
            before = before.replace(microsecond=0) + _SECOND
        if schedule.cron.is_fixed:
            return _previous_fixed(schedule.cron, schedule.zone, before)
        return _previous_passing(schedule.cron, schedule.zone, before)
    except OverflowError:
        return None


def _next_fixed(cron: Cron, tz: ZoneInfo, after: datetime) -> datetime | None:
    """Local times in order have moments in order, so the first that is later is the next one."""
    shown = cron.next(local(tz, after))
    while shown is not None:
        moment = moment_of(tz, shown)
        if moment > after:
            return moment
        shown = cron.next(shown)
    return None


def _previous_fixed(cron: Cron, tz: ZoneInfo, before: datetime) -> datetime | None:
    start = before.astimezone(tz)
    # While clocks show an hour again, later local times have passed already.
    shown = cron.previous(local(tz, before) + timedelta(days=start.fold))
    while shown is not None:
        moment = moment_of(tz, shown)
        if moment < before:
            return moment
        shown = cron.previous(shown)
    return None


def _next_passing(cron: Cron, tz: ZoneInfo, after: datetime) -> datetime | None:
    """Between two changes of the offset, local time is UTC and an offset: search piece by piece."""
    last = after + _FAR
    start, offset = after, offset_at(tz, after)
    while after < last:
        shown = cron.next(_shown(start, offset))
        if shown is None:
            return None
        found = shown.replace(tzinfo=UTC) - offset
        change = first_change(tz, after, found)
        if change is None:
            return found
        after, start, offset = change, change - _SECOND, offset_at(tz, change)
    return None


def _previous_passing(cron: Cron, tz: ZoneInfo, before: datetime) -> datetime | None:
    first = before - _FAR
    offset = offset_at(tz, before - _SECOND)
    while before > first:
        shown = cron.previous(_shown(before, offset))
        if shown is None:
            return None
        found = shown.replace(tzinfo=UTC) - offset
        change = last_change(tz, found, before - _SECOND)
        if change is None:
            return found
        before, offset = change, offset_at(tz, change - _SECOND)
    return None


def _shown(moment: datetime, offset: timedelta) -> datetime:
    return (moment + offset).replace(tzinfo=None)
