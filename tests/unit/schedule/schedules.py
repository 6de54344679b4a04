"""Schedules in few words, and the ticks that they should have by counting every minute."""

from __future__ import annotations

from collections.abc import Iterator, Set
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from headway.schedule import Schedule

MINUTE = timedelta(minutes=1)
_DEFAULTS: dict[str, Any] = {
    "cron": None,
    "every": None,
    "timezone": "UTC",
    "jitter": 0.0,
    "start": None,
    "end": None,
    "missed": "latest",
}


def schedule(cron: str | None = None, *, key: tuple[str, ...] = (), **keys: Any) -> Schedule:
    return Schedule.of({**_DEFAULTS, "cron": cron, **keys}, key)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def shown(moments: list[datetime], zone: str) -> list[str]:
    """Return moments as clocks of a zone show them, with their offset."""
    return [each.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes") for each in moments]


def counted(
    minutes: Set[int], hours: Set[int], zone: str, after: datetime, until: datetime, *, fixed: bool
) -> list[datetime]:
    """Return the ticks of a daily expression by looking at each minute's local time.

    `fixed`: each local time once, the first time; what is skipped when clocks are put forward.
    """
    found, seen = [], set()
    before = _local(after - 1440 * MINUTE, zone)
    for moment in _minutes(after - 1439 * MINUTE, until):
        local = _local(moment, zone)
        skipped = list(_minutes(before + MINUTE, local - MINUTE)) if fixed else []
        fits = any(each.minute in minutes and each.hour in hours for each in [*skipped, local])
        if fits and moment > after and not (fixed and local in seen):
            found.append(moment)
        seen.add(local)
        before = local
    return found


def _minutes(first: datetime, last: datetime) -> Iterator[datetime]:
    while first <= last:
        yield first
        first += MINUTE


def _local(moment: datetime, zone: str) -> datetime:
    return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)
