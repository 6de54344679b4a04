"""The advancing transaction: the leader's batch, written whole or not at all.

It holds the lease row FOR KEY SHARE from its first statement to its end. A takeover changes a key
column of that row and so waits for it; whoever comes after a takeover finds no row of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, Connection, Text, bindparam, select, update

from headway.crash_points import crash_block, crash_point
from headway_coordinator.application.ports import AuditEntry, Lease, LeaseLost, Withdrawal
from headway_coordinator.engine.model import (
    AttemptEnded,
    AttemptMade,
    RunMoved,
    RunState,
    StepMoved,
    StopAttempts,
)
from headway_coordinator.storage import schema
from headway_coordinator.storage.attempt_writes import AttemptWrites
from headway_coordinator.storage.columns import Moment
from headway_coordinator.storage.counting import expect
from headway_coordinator.storage.database import Database, moment_of
from headway_coordinator.storage.documents import clean_text
from headway_coordinator.storage.leasing import held_by_parameters, held_parameters
from headway_coordinator.storage.rows import insert_all, types_of
from headway_coordinator.storage.run_writes import RunWrites

_AUDITED = ("at", "epoch", "holder", "actor", "team", "run", "transitions")


class AdvancingStatements:
    """Every statement of the transaction, made once a process."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.runs = RunWrites(database)
        self.attempts = AttemptWrites(database)
        self.applied = database.rows(id=BigInteger(), result=Text())
        inbox = schema.inbox
        self.mark_applied = (
            update(inbox)
            .where(inbox.c.id == self.applied.c.id, inbox.c.applied_at.is_(None))
            .values(applied_at=bindparam("transaction_now", type_=Moment()))
            .values(result=self.applied.c.result)
        )

        self._hold = (
            select(database.now)
            .select_from(schema.lease)
            .where(held_by_parameters())
            .with_for_update(read=True, key_share=True)
        )
        self.audited = database.rows(**types_of(schema.audit, _AUDITED))
        self.insert_audit = insert_all(schema.audit, _AUDITED, self.audited)

    @crash_block("storage.advancing")
    @contextmanager
    def open(self, lease: Lease) -> Iterator[OpenAdvancing]:
        """Open the transaction.

        Raises:
            LeaseLost: the row is not this hold's any more.
        """
        with self.database.transaction() as connection:
            row = connection.execute(self._hold, held_parameters(lease)).one_or_none()
            if row is None:
                raise LeaseLost(
                    f"{lease.holder} no longer holds {lease.name} in epoch {lease.epoch}"
                )
            yield OpenAdvancing(self, connection, lease, moment_of(row[0]))


class OpenAdvancing:
    """Implements `Advancing` on an open connection."""

    def __init__(
        self, statements: AdvancingStatements, connection: Connection, lease: Lease, now: datetime
    ) -> None:
        self._statements = statements
        self._connection = connection
        self._lease = lease
        self.now = now

    def create_runs(self, states: Sequence[RunState]) -> None:
        self._statements.runs.create(self._connection, states)

    def move_runs(self, moves: Sequence[RunMoved]) -> None:
        self._statements.runs.move_runs(self._connection, moves)

    def move_steps(self, moves: Sequence[tuple[str, StepMoved]]) -> None:
        self._statements.runs.move_steps(self._connection, moves)

    def make_attempts(self, made: Sequence[AttemptMade], claim_within: timedelta) -> None:
        self._statements.attempts.make(self._connection, made, self.now, claim_within)

    def end_attempts(self, ended: Sequence[AttemptEnded]) -> None:
        self._statements.attempts.end(self._connection, ended, self.now)

    def settle_attempts(self, ended: Sequence[AttemptEnded]) -> None:
        self._statements.attempts.settle(self._connection, ended, self.now)

    def stop_attempts(self, stops: Sequence[StopAttempts]) -> list[Withdrawal]:
        return self._statements.attempts.stop(self._connection, stops, self.now)

    @crash_point("advancing.redispatch")
    def redispatch(
        self, attempts: Sequence[tuple[str, int]], waits: Sequence[timedelta]
    ) -> list[str]:
        return self._statements.attempts.redispatch(self._connection, attempts, waits, self.now)

    def mark_applied(self, entries: Sequence[tuple[int, str]]) -> None:
        if not entries:
            return
        params = {**self._statements.applied.params(entries), "transaction_now": self.now}
        count = self._connection.execute(self._statements.mark_applied, params).rowcount
        expect(count, len(entries), "inbox rows not yet applied")

    def audit(self, entries: Sequence[AuditEntry]) -> None:
        if not entries:
            return
        hold = (self.now, self._lease.epoch, self._lease.holder)
        rows = ((*hold, e.actor, e.team, e.run, e.transitions) for e in entries)
        statements = self._statements
        self._connection.execute(statements.insert_audit, statements.audited.params(rows))

    def quarantine(self, run: str, reason: str) -> None:
        """Mark the run if it is open; one that has ended, or never was, needs no mark."""
        self._connection.execute(
            update(schema.run)
            .where(schema.run.c.id == run, schema.RUN_OPEN)
            .values(quarantine=clean_text(reason))
        )
        self._statements.attempts.withdraw_all(self._connection, run, "quarantined", self.now)
