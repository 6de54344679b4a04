"""What the advancing transaction writes of attempts: it makes, ends, stops and re-sends them.

`dispatched → running` is not among it: that is the claim's alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Text,
    bindparam,
    func,
    not_,
    or_,
    update,
)

from headway_coordinator.application.ports import Withdrawal
from headway_coordinator.engine.model import AttemptEnded, AttemptMade, StopAttempts
from headway_coordinator.storage.columns import Moment
from headway_coordinator.storage.counting import expect
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.rows import insert_all, types_of
from headway_coordinator.storage.schema import ATTEMPT_DISPATCHED, ATTEMPT_RUNNING, attempt

_NEW = (
    "id", "run_id", "step", "no", "fence", "state", "team", "queue", "work", "dispatch_no",
    "dispatched_at", "claim_deadline", "log_bytes",
)  # fmt: skip
_ENDED = (
    "state", "reason", "exit_code", "error", "started_at", "finished_at", "log_bytes",
)  # fmt: skip
_NOW = bindparam("transaction_now", type_=Moment())
_EXIT_CODE_LIMIT = 2**31


class AttemptWrites:
    """One or two statements a batch."""

    def __init__(self, database: Database) -> None:
        self._new = database.rows(**types_of(attempt, _NEW))
        self._insert = insert_all(attempt, _NEW, self._new)
        self._prepare_end(database)
        self._prepare_stop(database)
        self._prepare_redispatch(database)

    def _prepare_end(self, database: Database) -> None:
        self._ended = ended = database.rows(
            id=Text(),
            run_id=Text(),
            fence=BigInteger(),
            expired=Boolean(),
            **types_of(attempt, _ENDED),
        )
        values: dict[str, Any] = {name: ended.c[name] for name in _ENDED}
        values["started_at"] = func.coalesce(ended.c.started_at, attempt.c.claimed_at)
        run_out = or_(attempt.c.lease_expires_at <= database.now, attempt.c.reaped_at.is_not(None))
        self._end = (
            update(attempt)
            .where(attempt.c.id == ended.c.id, attempt.c.run_id == ended.c.run_id)
            .where(attempt.c.fence == ended.c.fence, ATTEMPT_RUNNING)
            .where(or_(not_(ended.c.expired), run_out))
            .values(values)
        )

    def _prepare_stop(self, database: Database) -> None:
        self._stops = stops = database.rows(id=Text(), run_id=Text(), reason=Text())
        named = update(attempt).where(
            attempt.c.id == stops.c.id, attempt.c.run_id == stops.c.run_id
        )
        self._withdraw = (
            named.where(ATTEMPT_DISPATCHED)
            .values(
                state="cancelled",
                reason=stops.c.reason,
                stop_reason=stops.c.reason,
                finished_at=_NOW,
            )
            .returning(attempt.c.run_id, attempt.c.id, attempt.c.fence, attempt.c.stop_reason)
        )
        self._ask = named.where(ATTEMPT_RUNNING, attempt.c.cancel_at.is_(None)).values(
            cancel_at=_NOW, stop_reason=stops.c.reason
        )

    def _prepare_redispatch(self, database: Database) -> None:
        self._again = again = database.rows(id=Text(), dispatch_no=BigInteger(), deadline=Moment())
        self._redispatch = (
            update(attempt)
            .where(attempt.c.id == again.c.id, ATTEMPT_DISPATCHED)
            .where(attempt.c.dispatch_no == again.c.dispatch_no)
            .values(dispatch_no=attempt.c.dispatch_no + 1, claim_deadline=again.c.deadline)
            .returning(attempt.c.id)
        )

    def make(
        self,
        connection: Connection,
        made: Sequence[AttemptMade],
        now: datetime,
        claim_within: timedelta,
    ) -> None:
        """Insert the attempts as dispatched once."""
        if not made:
            return
        sent = (1, now, now + claim_within, 0)
        rows = (
            (m.attempt, m.run, m.step, m.no, m.fence, "dispatched", m.team, m.queue, m.work, *sent)
            for m in made
        )
        connection.execute(self._insert, self._new.params(rows))

    def end(self, connection: Connection, ended: Sequence[AttemptEnded], now: datetime) -> None:
        """End running attempts of the right fence, expired ones only if their lease has run out."""
        expect(self.settle(connection, ended, now), len(ended), "attempts that run")

    def settle(self, connection: Connection, ended: Sequence[AttemptEnded], now: datetime) -> int:
        """End those that run, have the right fence and, if expired, no lease; return how many."""
        if not ended:
            return 0
        params = self._ended.params(_ended_row(e, now) for e in ended)
        return connection.execute(self._end, params).rowcount

    def withdraw_all(self, connection: Connection, run: str, reason: str, now: datetime) -> None:
        """Cancel the run's unclaimed attempts."""
        connection.execute(
            update(attempt)
            .where(attempt.c.run_id == run, ATTEMPT_DISPATCHED)
            .values(state="cancelled", reason=reason, stop_reason=reason, finished_at=now)
        )

    def stop(
        self, connection: Connection, stops: Sequence[StopAttempts], now: datetime
    ) -> list[Withdrawal]:
        """Cancel what is dispatched, then ask what runs.

        In this order: what a worker claims in between is seen by the second statement, which
        reads again.
        """
        rows = {(id, s.run, s.reason): s.running for s in stops for id in s.attempts}
        if not rows:
            return []
        params = {**self._stops.params(rows), "transaction_now": now}
        withdrawn = connection.execute(self._withdraw, params).all()
        gone = {row.id for row in withdrawn}
        asked = [row for row, running in rows.items() if running and row[0] not in gone]
        if asked:
            params = {**self._stops.params(asked), "transaction_now": now}
            connection.execute(self._ask, params)
        return [Withdrawal(*row) for row in withdrawn]

    def redispatch(
        self,
        connection: Connection,
        attempts: Sequence[tuple[str, int]],
        waits: Sequence[timedelta],
        now: datetime,
    ) -> list[str]:
        """Count one more dispatch of what is still dispatched as often as is thought."""
        if not attempts:
            return []
        rows = [(id, no, now + wait) for (id, no), wait in zip(attempts, waits, strict=True)]
        found = connection.execute(self._redispatch, self._again.params(rows)).scalars().all()
        return list(found)


def _ended_row(ended: AttemptEnded, now: datetime) -> tuple[Any, ...]:
    code = ended.exit_code
    if code is not None:  # a worker may report any number
        code = max(-_EXIT_CODE_LIMIT, min(code, _EXIT_CODE_LIMIT))
    return (
        ended.attempt,
        ended.run,
        ended.fence,
        ended.expired,
        str(ended.outcome),
        ended.reason,
        code,
        ended.error,
        ended.started_at,
        ended.finished_at or now,
        ended.log_bytes,
    )
