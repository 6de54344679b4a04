"""Which ticks start a run now, which are dropped, and when to look again.

A tick fires at its own moment and up to `jitter` later; its logical date stays the tick. The last
tick that was dealt with is the only memory: ticks up to it never come again, whatever the clock
says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from headway.clock import rfc3339
from headway.schedule import (
    Schedule,
    interval,
    next_tick,
    next_ticks,
    previous_tick,
    ticks_between,
)

__all__ = [
    "GRACE",
    "Due",
    "Schedule",
    "due",
    "fires_at",
    "interval",
    "next_tick",
    "previous_tick",
    "ticks_between",
]

# A tick that is found later than this after it should have fired was missed.
GRACE = timedelta(seconds=60)
_LEAST = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Due:
    """`run`: the ticks to start runs for, in order; `dropped`: ticks that get none, in order.

    `last` is what to give the next time. `next` is the first tick after it and `wake` the moment at
    which that one fires; both are None when none comes. `wake` lies in the past when a limit left
    ticks over. Of very many dropped ticks the first ones are listed, as many as the limit.
    """

    run: tuple[datetime, ...]
    dropped: tuple[datetime, ...]
    last: datetime
    next: datetime | None
    wake: datetime | None


def due(schedule: Schedule, last: datetime, now: datetime, limit: int) -> Due:
    """Return what is to be done at `now` about the ticks after `last`, by the schedule's `missed`.

    all: every tick runs. latest: of those that are due at once the newest runs, the others are
    dropped. none: what fires within GRACE of its time runs, what is later is dropped. At most
    `limit` ticks run.
    """
    match schedule.missed:
        case "all":
            run = _firing(schedule, last, now, limit)
            return _due(schedule, last, run, [])
        case "latest":
            newest = _newest(schedule, last, now)
            if newest is None:
                return _due(schedule, last, [], [])
            dropped = ticks_between(schedule, last, newest - _LEAST, limit)
            return _due(schedule, last, [newest], dropped)
        case _:
            return _without_missed(schedule, last, now, limit)


def fires_at(schedule: Schedule, tick: datetime) -> datetime:
    """Return when a tick fires: drawn from the schedule's key and the tick, so always the same."""
    if not schedule.jitter:
        return tick
    text = json.dumps([*schedule.key, rfc3339(tick)])
    share = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
    return tick + share * schedule.jitter


def _due(
    schedule: Schedule, last: datetime, run: list[datetime], dropped: Iterable[datetime]
) -> Due:
    """`last` moves on by what runs or is dropped, and never back."""
    dropped = tuple(dropped)
    last = max([last, *run, *dropped])
    following = next_tick(schedule, last)
    wake = None if following is None else fires_at(schedule, following)
    return Due(tuple(run), dropped, last, following, wake)


def _firing(schedule: Schedule, last: datetime, now: datetime, limit: int) -> list[datetime]:
    """Return the ticks after `last` that have fired; one that has not holds back those after it."""
    ticks = ticks_between(schedule, last, now, limit)
    return list(takewhile(lambda tick: fires_at(schedule, tick) <= now, ticks))


def _newest(schedule: Schedule, last: datetime, now: datetime) -> datetime | None:
    tick = previous_tick(schedule, now + _LEAST)
    while tick is not None and tick > last:
        if fires_at(schedule, tick) <= now:
            return tick
        tick = previous_tick(schedule, tick)
    return None


def _without_missed(schedule: Schedule, last: datetime, now: datetime, limit: int) -> Due:
    """Only what may still be in time is looked at one by one: a long outage costs no more."""
    oldest = now - GRACE
    start = max(last, oldest - schedule.jitter - _LEAST)
    in_time: list[datetime] = []
    too_late = previous_tick(schedule, start + _LEAST)
    fires = start
    for tick in next_ticks(schedule, start):
        fires = max(fires, fires_at(schedule, tick))  # one that has not fired holds back the others
        if fires > now or len(in_time) == limit:
            break
        if fires < oldest:
            too_late = tick
        else:
            in_time.append(tick)
    if too_late is None or too_late <= last:
        return _due(schedule, last, in_time, [])
    dropped = ticks_between(schedule, last, too_late, limit)
    return _due(schedule, max(last, too_late), in_time, dropped)
