"""The deciding transaction: what the leader makes of events, written whole or not at all.

Like the advancing one it holds the lease row FOR KEY SHARE from its first statement to its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Text, and_, bindparam, select, update

from headway.crash_points import crash_block, crash_point
from headway_coordinator.application.backfill_ports import OpenDate, TakenDate
from headway_coordinator.application.ports import Lease, LeaseLost
from headway_coordinator.application.trigger_ports import Decision, Moved, NewEvent, WantedRun
from headway_coordinator.storage.backfill_starts import BackfillStatements
from headway_coordinator.storage.columns import Moment
from headway_coordinator.storage.counting import expect
from headway_coordinator.storage.database import Database, moment_of
from headway_coordinator.storage.documents import clean_text
from headway_coordinator.storage.events import GIVEN, event_row
from headway_coordinator.storage.leasing import held_by
from headway_coordinator.storage.rows import insert_all, types_of
from headway_coordinator.storage.schema import (
    DECISION_WAITING,
    EVENT_UNDECIDED,
    decision,
    inbox,
    lease,
    trigger,
    upstream,
)
from headway_coordinator.storage.upsert import insert

_KEY = ("event", "team", "pipeline", "trigger")
_DECIDED = (
    "event", "team", "pipeline", "trigger", "outcome", "reason", "run", "dedupe_key", "wanted",
)  # fmt: skip
_RUN = ("run", "kind", "dedupe", "actor", "team", "pipeline", "body")


class DecidingStatements:
    """The statements of the transaction, made once a process."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.backfills = BackfillStatements(database)
        now = database.now
        self.events = database.rows(**types_of(upstream, GIVEN))
        kept = select(*(self.events.c[name] for name in GIVEN), now.label("received_at"))
        self.insert_events = (
            insert(database.dialect, upstream)
            .from_select(
                [*GIVEN, "received_at"],
                kept.where(self.events.c.id.is_not(None)),
                include_defaults=False,
            )
            .on_conflict_do_nothing(index_elements=["dedupe"])
        )
        self.decided = database.rows(**types_of(decision, _DECIDED))
        self.insert_decisions = insert_all(decision, _DECIDED, self.decided, at=now)
        self.ids = database.rows(id=Text())
        self.mark = (
            update(upstream)
            .where(upstream.c.id == self.ids.c.id, EVENT_UNDECIDED)
            .values(decided_at=now)
        )
        self.runs = database.rows(**types_of(inbox, _RUN))
        asked = select(*(self.runs.c[name] for name in _RUN), now.label("created_at"))
        self.insert_runs = (
            insert(database.dialect, inbox)
            .from_select(
                [*_RUN, "created_at"],
                asked.where(self.runs.c.run.is_not(None)),
                include_defaults=False,
            )
            .on_conflict_do_nothing(index_elements=["dedupe"])
        )
        self.times = database.rows(
            team=Text(),
            pipeline=Text(),
            name=Text(),
            since=Moment(),
            from_last=Moment(),
            from_next=Moment(),
            last_at=Moment(),
            next_at=Moment(),
        )
        given = self.times.c
        self.move = (
            update(trigger)
            .where(
                and_(
                    trigger.c.team == given.team,
                    trigger.c.pipeline == given.pipeline,
                    trigger.c.name == given.name,
                ),
                trigger.c.since == given.since,  # else it has another schedule
                trigger.c.paused_at.is_(None),
                trigger.c.last_at.is_not_distinct_from(given.from_last),
                trigger.c.next_at.is_not_distinct_from(given.from_next),
            )
            .values(last_at=given.last_at, next_at=given.next_at)
        )
        # With the trigger in each row both databases look the decisions up by the key, one by one.
        # Were it a condition of its own, SQLite would read all events for each that waits.
        self.settled = database.rows(**types_of(decision, _KEY))
        self.settle = (
            update(decision)
            .where(
                and_(*(decision.c[name] == self.settled.c[name] for name in _KEY)),
                DECISION_WAITING,
            )
            .values(
                outcome=bindparam("to_outcome"),
                reason=bindparam("to_reason"),
                run=bindparam("to_run"),
            )
        )

    @crash_block("storage.deciding")
    @contextmanager
    def open(self, held: Lease) -> Iterator[OpenDeciding]:
        """Open the transaction.

        Raises:
            LeaseLost: the row is not this hold's any more.
        """
        with self.database.transaction() as connection:
            hold = (
                select(self.database.now)
                .select_from(lease)
                .where(held_by(held))
                .with_for_update(read=True, key_share=True)
            )
            now = connection.execute(hold).scalar()
            if now is None:
                raise LeaseLost(f"{held.holder} no longer holds {held.name} in epoch {held.epoch}")
            yield OpenDeciding(self, connection, moment_of(now))


class OpenDeciding:
    """Implements `Deciding` on an open connection."""

    def __init__(self, statements: DecidingStatements, connection: Connection, now: datetime):
        self._made = statements
        self._connection = connection
        self.now = now

    def tick(self, moves: Sequence[Moved]) -> None:
        if moves:
            rows = [
                (
                    *m.before.key,
                    m.before.since,
                    m.before.last_at,
                    m.before.next_at,
                    m.last_at,
                    m.next_at,
                )
                for m in moves
            ]
            result = self._connection.execute(self._made.move, self._made.times.params(rows))
            expect(result.rowcount, len(moves), "triggers")

    def add_events(self, events: Sequence[NewEvent]) -> None:
        if events:
            rows = self._made.events.params(event_row(event) for event in events)
            self._connection.execute(self._made.insert_events, rows)

    @crash_point("deciding.decide")
    def decide(self, events: Sequence[str], decisions: Sequence[Decision]) -> None:
        if events:
            ids = self._made.ids.params((id,) for id in events)
            marked = self._connection.execute(self._made.mark, ids)
            expect(marked.rowcount, len(events), "events")
        if decisions:
            rows = self._made.decided.params(_row(d) for d in decisions)
            self._connection.execute(self._made.insert_decisions, rows)

    def settle(
        self, trigger: tuple[str, str, str], events: Sequence[str], outcome: Decision
    ) -> None:
        given: dict[str, Any] = {
            **self._made.settled.params((id, *trigger) for id in events),
            "to_outcome": outcome.outcome,
            "to_reason": outcome.reason,
            "to_run": outcome.run,
        }
        moved = self._connection.execute(self._made.settle, given)
        expect(moved.rowcount, len(events), "decisions")

    def hold_backfill(self, backfill: str, max_in_flight: int) -> None:
        self._made.backfills.hold(self._connection, backfill, max_in_flight)

    @crash_point("deciding.take_dates")
    def take_dates(self, backfill: str, taken: Sequence[TakenDate]) -> None:
        self._made.backfills.take(self._connection, backfill, taken)

    def settle_dates(self, ended: Sequence[OpenDate]) -> None:
        self._made.backfills.settle(self._connection, ended)

    def end_backfill(self, backfill: str) -> None:
        self._made.backfills.end(self._connection, backfill)

    def start(self, runs: Sequence[WantedRun]) -> None:
        if runs:
            rows = [
                (
                    r.run,
                    "run",
                    r.dedupe,
                    clean_text(r.actor),
                    r.body["team"],
                    r.body["pipeline"],
                    r.body,
                )
                for r in runs
            ]
            self._connection.execute(self._made.insert_runs, self._made.runs.params(rows))


def _row(made: Decision) -> tuple[Any, ...]:
    texts = (made.event, *made.key, made.outcome, made.reason, made.run, made.dedupe_key)
    return (*texts, made.wanted)
