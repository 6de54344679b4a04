"""Cron expressions of five fields, read and counted by cronsim, on local time without a zone.

cronsim knows the calendar alone here. Its own handling of zones leaves ticks out where clocks move
by half an hour, and can return a moment before the one that was given; `headway.schedule.ticks`
turns local times into moments.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from cronsim import CronSim, CronSimError

from headway.spelling import did_you_mean

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
MAX_LENGTH = 200
# From which a first tick is looked for; cronsim looks 50 years on.
_SOME_DAY = datetime(2024, 1, 1)  # noqa: DTZ001 - local time
_A_YEAR = timedelta(days=366)
_MANY = 100
_FIELDS = {
    "minute": "0 to 59, such as 0, */15 or 0,30",
    "hour": "0 to 23, such as 6, 8-18 or */2",
    "day-of-month": "1 to 31, L for the last day, LW for the last day from Monday to Friday",
    "month": "1 to 12, or JAN to DEC",
    "day-of-week": "0 to 7 (0 and 7 are Sunday) or SUN to SAT, 5L for the last Friday, MON#1",
}
_HASHED = re.compile(r"(?<![A-Z])H(?![A-Z])")


class CronError(ValueError):
    """A text that is no cron expression of ours: why not, and the mend."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression in its plain form: five fields, one space between, aliases written out.

    `is_fixed`: it names its hours and minutes, as `30 2 * * *` does. Such a tick happens once a day
    whatever clocks do; one with a `*` in front of hour or minute follows the time that passes.
    """

    text: str
    is_fixed: bool

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Return the expression. Raises CronError."""
        plain = _plain(text)
        minute, hour = plain.split()[:2]
        return cls(plain, not minute.startswith("*") and not hour.startswith("*"))

    def next(self, after: datetime) -> datetime | None:
        """Return the first local time (naive) after one of whole seconds; None within 50 years."""
        return self._found(after, reverse=False)

    def previous(self, before: datetime) -> datetime | None:
        """Return the last local time (naive) before one of whole seconds; None within 50 years."""
        return self._found(before, reverse=True)

    def shortest_gap(self, enough: timedelta) -> timedelta:
        """Return the shortest time between two ticks of a year; the first up to `enough` will do.

        Of an expression that ticks often, the first hundred are looked at.
        """
        ticks = [_SOME_DAY]
        gap = _A_YEAR
        while ticks[-1] - _SOME_DAY < _A_YEAR and len(ticks) < _MANY and gap > enough:
            found = self.next(ticks[-1])
            if found is None:
                break
            ticks.append(found)
            if len(ticks) > 2:
                gap = min(gap, ticks[-1] - ticks[-2])
        return gap

    def _found(self, start: datetime, *, reverse: bool) -> datetime | None:
        search = copy.copy(_template(self.text, reverse=reverse))  # reading the text takes longer
        search.dt = start
        try:
            return next(search, None)
        except OverflowError:
            return None  # beyond the years that datetime has


@lru_cache(maxsize=4096)
def _template(text: str, *, reverse: bool) -> CronSim:
    return CronSim(text, _SOME_DAY, reverse=reverse)


@lru_cache(maxsize=4096)
def _plain(text: str) -> str:
    if len(text) > MAX_LENGTH:
        raise CronError(f"longer than {MAX_LENGTH} characters", "make it two triggers")
    words = text.split()
    if words and words[0].startswith("@"):
        return _alias(words)
    if words and re.match(r"(CRON_)?TZ=", words[0], re.I):
        zone = words[0].partition("=")[2]
        raise CronError("the zone does not stand in the expression", f"add timezone: {zone}")
    if len(words) != 5:
        raise CronError(*_wrong_count(words))
    for field in (2, 4):
        words[field] = "*" if words[field] == "?" else words[field]  # Quartz: any day
    plain = " ".join(words)
    if _HASHED.search(plain.upper()):
        raise CronError("`H` is a time that Jenkins chooses", _hint_for_hashed(plain))
    _check(plain)
    return plain


def _alias(words: list[str]) -> str:
    name = words[0].lower()
    if len(words) == 1 and name in ALIASES:
        return ALIASES[name]
    if name == "@every":
        duration = "".join(words[1:])[:20] or "5m"
        raise CronError("`@every` is no cron expression", f"write every: {duration}")
    if name == "@reboot":
        raise CronError("`@reboot` has no meaning here", "a schedule ticks by the clock alone")
    hint = did_you_mean(name, ALIASES) or "one of: " + ", ".join(ALIASES)
    raise CronError(f"`{words[0][:40]}` is not known", hint)


def _wrong_count(words: list[str]) -> tuple[str, str]:
    numbers = {0: "none", 1: "one", 6: "six", 7: "seven"}
    count = numbers.get(len(words), str(len(words)))
    message = f"a cron expression has five fields, and this has {count}"
    if len(words) == 6:
        return message, f"seconds come with `every`, such as every: 30s; else `{_five(words)}`"
    return message, "minute, hour, day of the month, month, day of the week, as in `0 6 * * 1-5`"


def _five(words: list[str]) -> str:
    """Six fields are seconds and five others; the year of Quartz would be a seventh."""
    return " ".join(words[1:])[:60]


def _hint_for_hashed(plain: str) -> str:
    fixed = re.sub(r"H(\([^)]*\))?", "0", plain.upper())
    return f"write a time, and spread it: {{cron: '{fixed[:60]}', jitter: 5m}}"


def _check(plain: str) -> None:
    """Raise CronError for what cronsim refuses, and for what never comes."""
    try:
        first = next(CronSim(plain, _SOME_DAY), None)
    except (CronSimError, ValueError, AssertionError) as error:
        reason = str(error).replace("Bad ", "") or "expression"
        if reason == "day-of-month" and _has_days_of_its_own(plain):
            raise CronError(*_no_such_day(plain)) from None
        hint = _FIELDS.get(reason, "such as `0 6 * * 1-5`")
        raise CronError(f"its {reason} is wrong", f"{reason}: {hint}") from None
    if first is None:
        hint = "look at the days: the day of the month and the day of the week must both fit"
        raise CronError("it never comes within 50 years", hint)


def _has_days_of_its_own(plain: str) -> bool:
    """Say whether the days are such as some month has: then it is the months that have none."""
    minute, hour, day, _, weekday = plain.split()
    try:
        CronSim(f"{minute} {hour} {day} * {weekday}", _SOME_DAY)
    except (CronSimError, ValueError, AssertionError):
        return False
    return True


def _no_such_day(plain: str) -> tuple[str, str]:
    minute, hour, day, month, weekday = plain.split()
    message = f"it never comes, since month {month[:20]} has no day {day[:20]}"
    return message, f"the last day of a month is L: `{minute} {hour} L {month} {weekday}`"
