"""When a schedule ticks: cron expressions and intervals, time zones, clocks that are moved.

Pure: a schedule and a moment in, moments in UTC out. The rules of the zones are data, which
`zoneinfo` reads. Both sides need it: checking a definition and showing its next times, and starting
its runs. What to do about ticks that were missed is the coordinator's alone.
"""

from __future__ import annotations

from headway.schedule.cron import Cron, CronError
from headway.schedule.ticks import (
    Schedule,
    interval,
    next_tick,
    next_ticks,
    previous_tick,
    ticks_between,
)
from headway.schedule.zones import ZoneError, zone

__all__ = [
    "Cron",
    "CronError",
    "Schedule",
    "ZoneError",
    "interval",
    "next_tick",
    "next_ticks",
    "previous_tick",
    "ticks_between",
    "zone",
]
