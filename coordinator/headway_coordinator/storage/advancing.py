"""The advancing transaction: the leader's batch, written whole or not at all.

It holds the lease row FOR KEY SHARE from its first statement to its end. A takeover changes a key
column of that row and so waits for it; whoever comes after a takeover finds no row of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Text, bindparam, select, update

from headway.crash_points import crash_block, crash_point
from headway.plan.model import PlanStep
from headway_coordinator.application.advancing_ports import AuditEntry, Withdrawal
from headway_coordinator.application.notify_ports import NewNotification
from headway_coordinator.application.ports import Lease, LeaseLost
from headway_coordinator.application.trigger_ports import NewEvent
from headway_coordinator.engine.model import (
    AttemptEnded,
    AttemptMade,
    Run,
    RunMoved,
    Step,
    StepMoved,
    StopAttempts,
)
from headway_coordinator.engine.state import RunState
from headway_coordinator.storage import schema
from headway_coordinator.storage.attempt_writes import AttemptWrites
from headway_coordinator.storage.database import Database, moment_of
from headway_coordinator.storage.documents import clean_text
from headway_coordinator.storage.events import GIVEN, event_row, telling
from headway_coordinator.storage.leasing import held_by_parameters, held_parameters
from headway_coordinator.storage.lines import Answer, Line, expecting
from headway_coordinator.storage.notifications import NOTED, note_row, noting
from headway_coordinator.storage.rows import insert_all, types_of
from headway_coordinator.storage.run_writes import RunWrites

_AUDITED = ("actor", "team", "run", "transitions")


class AdvancingStatements:
    """Every statement of the transaction, made once a process."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.runs = RunWrites(database)
        self.attempts = AttemptWrites(database)
        self.applied = database.rows(id=BigInteger(), result=Text())
        inbox = schema.inbox
        self.mark_applied = database.prepared(
            update(inbox)
            .where(inbox.c.id == self.applied.c.id, inbox.c.applied_at.is_(None))
            .values(applied_at=database.transaction_now, result=self.applied.c.result)
        )
        self.hold = database.prepared(
            select(database.transaction_now)
            .select_from(schema.lease)
            .where(held_by_parameters())
            .with_for_update(read=True, key_share=True)
        )
        self.audited = database.rows(**types_of(schema.audit, _AUDITED))
        by: dict[str, Any] = {
            "at": database.transaction_now,
            "epoch": bindparam("by_epoch", type_=BigInteger()),
            "holder": bindparam("by_holder", type_=Text()),
        }
        self.insert_audit = database.prepared(
            insert_all(schema.audit, _AUDITED, self.audited, **by)
        )
        self.told = database.rows(**types_of(schema.upstream, GIVEN))
        self.tell = database.prepared(telling(database, self.told))
        self.noted = database.rows(**types_of(schema.notification, NOTED))
        self.note = database.prepared(noting(database, self.noted))
        self.quarantine = database.prepared(
            update(schema.run)
            .where(schema.run.c.id == bindparam("of_run"), schema.RUN_OPEN)
            .values(quarantine=bindparam("why"))
        )

    @crash_block("storage.advancing")
    @contextmanager
    def open(self, lease: Lease) -> Iterator[OpenAdvancing]:
        """Open the transaction.

        Raises:
            LeaseLost: the row is not this hold's any more.
        """
        with self.database.writing() as line:
            yield OpenAdvancing(self, line, lease)


class OpenAdvancing:
    """Implements `Advancing` on an open connection."""

    def __init__(self, statements: AdvancingStatements, line: Line, lease: Lease) -> None:
        self._statements = statements
        self._line = line
        self._lease = lease
        self._now: datetime | None = None
        self.heard = 0
        line.send(statements.hold, held_parameters(lease), self._held)

    def _held(self, answer: Answer) -> None:
        if not answer.rows:
            raise LeaseLost(
                f"{self._lease.holder} no longer holds {self._lease.name}"
                f" in epoch {self._lease.epoch}"
            )
        self._now = answer.rows[0][0]

    @property
    def now(self) -> datetime:
        self._line.settle()
        return moment_of(self._now)

    def create_runs(self, states: Sequence[RunState]) -> None:
        self._statements.runs.create(self._line, states)

    def move_runs(self, moves: Sequence[RunMoved]) -> None:
        self._statements.runs.move_runs(self._line, moves)

    def move_steps(self, moves: Sequence[tuple[str, StepMoved]]) -> None:
        self._statements.runs.move_steps(self._line, moves)

    def expand_steps(
        self, expanded: Sequence[tuple[str, Step]], made: Sequence[tuple[Run, PlanStep, Step]]
    ) -> None:
        self._statements.runs.expand_steps(self._line, expanded, made)

    def make_attempts(self, made: Sequence[AttemptMade], claim_within: timedelta) -> None:
        self._statements.attempts.make(self._line, made, claim_within)

    def end_attempts(self, ended: Sequence[AttemptEnded]) -> None:
        self._statements.attempts.end(self._line, ended)

    def settle_attempts(self, ended: Sequence[AttemptEnded]) -> None:
        self._statements.attempts.settle(self._line, ended)

    def stop_attempts(self, stops: Sequence[StopAttempts]) -> list[Withdrawal]:
        return self._statements.attempts.stop(self._line, stops)

    @crash_point("advancing.redispatch")
    def redispatch(
        self, attempts: Sequence[tuple[str, int]], waits: Sequence[timedelta]
    ) -> list[str]:
        return self._statements.attempts.redispatch(self._line, attempts, waits, self.now)

    def mark_applied(self, entries: Sequence[tuple[int, str]]) -> None:
        if not entries:
            return
        params = self._statements.applied.params(entries)
        check = expecting(len(entries), "inbox rows not yet applied")
        self._line.send(self._statements.mark_applied, params, check)

    def audit(self, entries: Sequence[AuditEntry]) -> None:
        if not entries:
            return
        rows = ((e.actor, e.team, e.run, e.transitions) for e in entries)
        by = {"by_epoch": self._lease.epoch, "by_holder": self._lease.holder}
        statements = self._statements
        self._line.send(statements.insert_audit, {**statements.audited.params(rows), **by})

    def tell(self, events: Sequence[NewEvent]) -> None:
        if events:
            rows = self._statements.told.params(event_row(event) for event in events)
            self._line.send(self._statements.tell, rows, self._count_heard)

    def note(self, notifications: Sequence[NewNotification]) -> None:
        if notifications:
            rows = self._statements.noted.params(note_row(each) for each in notifications)
            self._line.send(self._statements.note, rows)

    def _count_heard(self, answer: Answer) -> None:
        self.heard += answer.count

    def quarantine(self, run: str, reason: str) -> None:
        """Mark the run if it is open; one that has ended, or never was, needs no mark."""
        params = {"of_run": run, "why": clean_text(reason)}
        self._line.send(self._statements.quarantine, params)
        self._statements.attempts.withdraw_all(self._line, run, "quarantined")
