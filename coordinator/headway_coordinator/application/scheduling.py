"""Schedules: each tick becomes an event, once, whoever leads and however often it is looked at."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog

from headway import ids
from headway.clock import Clock, rfc3339
from headway.schedule import Schedule, interval
from headway_coordinator.application.ports import Lease, PreconditionFailed, Storage
from headway_coordinator.application.trigger_ports import Moved, NewEvent, TriggerRow
from headway_coordinator.schedule.ticks import due

log = structlog.get_logger("headway.triggers")

_PAGE = 200
_TICKS = 100  # of one schedule in one go; the rest is due at once again
# What cannot be read may be so here alone: a zone that this host lacks, a newer version's body. It
# is looked at, and logged, once in this time; its ticks meanwhile are missed ones.
_UNREADABLE_WAIT = timedelta(minutes=1)


class Scheduler:
    """Lets schedules fire; the same thread that decides calls it."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    def tick(self, lease: Lease) -> int:
        """Make events of the ticks that are due; return how many schedules were seen to.

        Raises:
            LeaseLost: this hold is over; nothing was written.
        """
        rows = self._storage.triggers.due(_PAGE)
        if rows:
            self._see_to(lease, rows)
        return len(rows)

    def _see_to(self, lease: Lease, rows: list[TriggerRow]) -> None:
        now = self._storage.sweeps.database_now()
        moves: list[Moved] = []
        events: list[NewEvent] = []
        for row in rows:
            try:
                moved, ticked = self._ticked(row, now)
            except Exception as error:  # one that cannot be read must not stop the others
                log.error("schedule_unreadable", trigger="/".join(row.key), error=repr(error))
                moved, ticked = Moved(row, row.last_at, now + _UNREADABLE_WAIT), []
            moves.append(moved)
            events += ticked
        try:
            with self._storage.deciding(lease) as transaction:
                transaction.tick(moves)
                transaction.add_events(events)
        except PreconditionFailed as error:  # applied, paused or seen to meanwhile
            log.info("schedules_moved_elsewhere", reason=error.message)

    def _ticked(self, row: TriggerRow, now: datetime) -> tuple[Moved, list[NewEvent]]:
        """Return how the schedule moves on, and its ticks that start runs."""
        schedule = Schedule.of(row.body["schedule"], row.key)
        # A clock that was set back gives no tick again: those up to `last_at` are done.
        found = due(schedule, row.last_at or row.since, now, _TICKS)
        events = [self._event(row, schedule, tick) for tick in found.run]
        if found.dropped:
            first, count = rfc3339(found.dropped[0]), len(found.dropped)
            log.warning("ticks_missed", trigger="/".join(row.key), first=first, count=count)
        return Moved(row, found.last, found.wake), events

    def _event(self, row: TriggerRow, schedule: Schedule, tick: datetime) -> NewEvent:
        subject = "/".join(row.key)
        return NewEvent(
            id=ids.new_id(self._clock),
            team=row.team,
            origin="schedule",
            subject=subject,
            # The tick itself: whoever finds it again finds it there.
            dedupe=f"tick:{subject}:{rfc3339(tick)}",
            actor=f"schedule:{row.name}",
            event=tick_form(row.key, tick, interval(schedule, tick)),
        )


def tick_form(
    key: tuple[str, str, str], tick: datetime, interval: tuple[datetime, datetime]
) -> dict[str, Any]:
    """Return the event that a tick of the schedule (team, pipeline, trigger) is, as it is kept."""
    start, end = interval
    return {
        "id": rfc3339(tick),
        "source": f"/schedules/{'/'.join(key)}",
        "type": "headway.schedule.tick",
        "subject": key[2],
        "time": rfc3339(tick),
        "name": "tick",
        "data": {
            "logical_date": rfc3339(tick),
            "data_interval_start": rfc3339(start),
            "data_interval_end": rfc3339(end),
        },
        "extensions": {},
    }
