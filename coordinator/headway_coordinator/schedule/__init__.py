"""Which ticks of a schedule are due. Pure: a schedule, the last tick and the present in, ticks out.

Knows jitter and what to do about missed ticks; when a schedule ticks at all, calendars, zones and
moved clocks, is `headway.schedule`, which definitions need too. Knows no clock and no database: the
present is a parameter. Called by the application package.
"""

from __future__ import annotations

from headway_coordinator.schedule.ticks import (
    GRACE,
    Due,
    Schedule,
    due,
    fires_at,
    interval,
    next_tick,
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
