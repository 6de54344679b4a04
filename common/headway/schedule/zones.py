"""Time zones by their IANA names, and the moments at which their clocks are moved."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from headway.spelling import did_you_mean

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,30}(/[A-Za-z0-9_+-]{1,30}){0,2}", re.A)
# Not the same on two machines, or no zone.
_NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})
_SECOND = timedelta(seconds=1)
# Two changes that undo each other within a step would be overlooked. No zone has had such a pair.
_STEP = timedelta(days=2)


class ZoneError(ValueError):
    """A name that is no zone: what to write instead."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def zone(name: str) -> ZoneInfo:
    """Return the zone of an IANA name such as `Europe/Paris`. Raises ZoneError."""
    if _NAME.fullmatch(name) and name not in _NO_ZONES:
        try:
            return ZoneInfo(name)
        except (LookupError, ValueError, OSError):
            pass  # no such file, a folder, or a file that holds something else
    raise ZoneError(f"there is no time zone `{name[:60]}`", _meant(name))


def _meant(name: str) -> str:
    names = _names()
    folded = name.strip().replace(" ", "_").casefold()
    if folded in ("z", "gmt+0", "utc+0"):
        return "did you mean `UTC`?"
    same = [each for each in names if each.casefold() == folded]
    city = [each for each in names if each.rpartition("/")[2].casefold() == folded]
    if same or city:
        return f"did you mean `{(same or city)[0]}`?"
    return did_you_mean(name, names) or "the name of a city, such as Europe/Paris, or UTC"


@lru_cache(maxsize=1)
def _names() -> list[str]:
    return sorted(available_timezones() - _NO_ZONES)


def offset_at(tz: ZoneInfo, moment: datetime) -> timedelta:
    """Return how far local time is ahead of UTC at a moment."""
    offset = moment.astimezone(tz).utcoffset()
    assert offset is not None
    return offset


def local(tz: ZoneInfo, moment: datetime) -> datetime:
    """Return what clocks show at a moment, without a zone."""
    return moment.astimezone(tz).replace(tzinfo=None, fold=0)


def first_change(tz: ZoneInfo, after: datetime, until: datetime) -> datetime | None:
    """Return the first moment after `after`, up to `until`, at which the offset is another one."""
    offset, start = offset_at(tz, after), after
    while start < until:
        end = min(start + _STEP, until)
        if offset_at(tz, end) != offset:
            return _first(start, end, lambda moment: offset_at(tz, moment) != offset)
        start = end
    return None


def last_change(tz: ZoneInfo, after: datetime, until: datetime) -> datetime | None:
    """Return the last moment after `after`, up to `until`, from which on the offset is as there."""
    offset, end = offset_at(tz, until), until
    while end > after:
        start = max(end - _STEP, after)
        if offset_at(tz, start) != offset:
            return _first(start, end, lambda moment: offset_at(tz, moment) == offset)
        end = start
    return None


def _first(start: datetime, end: datetime, holds: Callable[[datetime], bool]) -> datetime:
    """Return the first whole second that holds: `start` does not, `end` does."""
    seconds = int((end - start) / _SECOND)
    low, high = 0, seconds
    while high - low > 1:
        middle = (low + high) // 2
        if holds(start + middle * _SECOND):
            high = middle
        else:
            low = middle
    return start + high * _SECOND


def moment_of(tz: ZoneInfo, shown: datetime) -> datetime:
    """Return when clocks show a local time: the first time that they do, in UTC.

    A local time that is skipped stands for the moment at which clocks are put forward over it.
    """
    moment = shown.replace(tzinfo=tz).astimezone(UTC)
    if local(tz, moment) == shown:
        return moment
    before = shown.replace(tzinfo=tz, fold=1).astimezone(UTC)
    return first_change(tz, before, moment) or moment
