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
    Text,
    bindparam,
    func,
    literal,
    not_,
    or_,
    update,
)

from headway.protocol.messages import CANCEL_GRACE_MS
from headway_coordinator.application.advancing_ports import Withdrawal
from headway_coordinator.engine.model import AttemptEnded, AttemptMade, StopAttempts
from headway_coordinator.storage.columns import Moment
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.lines import Check, Line, expecting
from headway_coordinator.storage.rows import insert_all, types_of
from headway_coordinator.storage.schema import ATTEMPT_DISPATCHED, ATTEMPT_RUNNING, attempt

_NEW = (
    "id", "run_id", "step", "no", "fence", "team", "queue", "work",
)  # fmt: skip
_ENDED = (
    "state", "reason", "exit_code", "error", "started_at", "finished_at", "log_bytes",
)  # fmt: skip
_EXIT_CODE_LIMIT = 2**31


class AttemptWrites:
    """One or two statements a batch."""

    def __init__(self, database: Database) -> None:
        self._new = database.rows(**types_of(attempt, _NEW))
        self._span = database.span
        once: dict[str, Any] = {
            "state": literal("dispatched"),
            "dispatch_no": literal(1),
            "dispatched_at": database.transaction_now,
            "claim_deadline": database.later("claim_within"),
            "log_bytes": literal(0),
        }
        self._insert = database.prepared(insert_all(attempt, _NEW, self._new, **once))
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
        values["finished_at"] = func.coalesce(ended.c.finished_at, database.transaction_now)
        run_out = or_(attempt.c.lease_expires_at <= database.now, attempt.c.reaped_at.is_not(None))
        self._end = database.prepared(
            update(attempt)
            .where(attempt.c.id == ended.c.id, attempt.c.run_id == ended.c.run_id)
            .where(attempt.c.fence == ended.c.fence, ATTEMPT_RUNNING)
            .where(or_(not_(ended.c.expired), run_out))
            .values(values)
        )

    def _prepare_stop(self, database: Database) -> None:
        self._stops = stops = database.rows(
            id=Text(), run_id=Text(), reason=Text(), grace_ms=BigInteger()
        )
        named = update(attempt).where(
            attempt.c.id == stops.c.id, attempt.c.run_id == stops.c.run_id
        )
        self._withdraw = database.prepared(
            named.where(ATTEMPT_DISPATCHED)
            .values(
                state="cancelled",
                reason=stops.c.reason,
                stop_reason=stops.c.reason,
                finished_at=database.transaction_now,
            )
            .returning(attempt.c.run_id, attempt.c.id, attempt.c.fence, attempt.c.stop_reason)
        )
        # Asked once, and again only to give it less time.
        usual = func.coalesce(attempt.c.cancel_grace_ms, CANCEL_GRACE_MS)
        sooner = or_(attempt.c.cancel_at.is_(None), stops.c.grace_ms < usual)
        self._ask = database.prepared(
            named.where(ATTEMPT_RUNNING, sooner).values(
                cancel_at=func.coalesce(attempt.c.cancel_at, database.transaction_now),
                cancel_grace_ms=stops.c.grace_ms,
                stop_reason=stops.c.reason,
            )
        )
        self._withdraw_all = database.prepared(
            update(attempt)
            .where(attempt.c.run_id == bindparam("of_run"), ATTEMPT_DISPATCHED)
            .values(
                state="cancelled",
                reason=bindparam("why"),
                stop_reason=bindparam("why"),
                finished_at=database.transaction_now,
            )
        )

    def _prepare_redispatch(self, database: Database) -> None:
        self._again = again = database.rows(id=Text(), dispatch_no=BigInteger(), deadline=Moment())
        self._redispatch = database.prepared(
            update(attempt)
            .where(attempt.c.id == again.c.id, ATTEMPT_DISPATCHED)
            .where(attempt.c.dispatch_no == again.c.dispatch_no)
            .values(dispatch_no=attempt.c.dispatch_no + 1, claim_deadline=again.c.deadline)
            .returning(attempt.c.id)
        )

    def make(
        self,
        line: Line,
        made: Sequence[AttemptMade],
        claim_within: timedelta,
    ) -> None:
        """Insert the attempts as dispatched once."""
        if not made:
            return
        rows = ((m.attempt, m.run, m.step, m.no, m.fence, m.team, m.queue, m.work) for m in made)
        params = {**self._new.params(rows), "claim_within": self._span(claim_within)}
        line.send(self._insert, params)

    def end(self, line: Line, ended: Sequence[AttemptEnded]) -> None:
        """End running attempts of the right fence, expired ones only if their lease has run out."""
        self._send_ended(line, ended, expecting(len(ended), "attempts that run"))

    def settle(self, line: Line, ended: Sequence[AttemptEnded]) -> None:
        """End those that run, have the right fence and, if expired, no lease."""
        self._send_ended(line, ended, None)

    def _send_ended(self, line: Line, ended: Sequence[AttemptEnded], check: Check | None) -> None:
        if ended:
            line.send(self._end, self._ended.params(_ended_row(e) for e in ended), check)

    def withdraw_all(self, line: Line, run: str, reason: str) -> None:
        """Cancel the run's unclaimed attempts."""
        params = {"of_run": run, "why": reason}
        line.send(self._withdraw_all, params)

    def stop(self, line: Line, stops: Sequence[StopAttempts]) -> list[Withdrawal]:
        """Cancel what is dispatched, then ask what runs.

        In this order: what a worker claims in between is seen by the second statement, which
        reads again.
        """
        rows = {
            (id, s.run, s.reason, _milliseconds(s.grace)): s.running
            for s in stops
            for id in s.attempts
        }
        if not rows:
            return []
        params = self._stops.params(rows)
        found = line.ask(self._withdraw, params).rows
        withdrawn = [Withdrawal(*row) for row in found]
        gone = {w.attempt for w in withdrawn}
        asked = [row for row, running in rows.items() if running and row[0] not in gone]
        if asked:
            params = self._stops.params(asked)
            line.send(self._ask, params)
        return withdrawn

    def redispatch(
        self,
        line: Line,
        attempts: Sequence[tuple[str, int]],
        waits: Sequence[timedelta],
        now: datetime,
    ) -> list[str]:
        """Count one more dispatch of what is still dispatched as often as is thought."""
        if not attempts:
            return []
        rows = [(id, no, now + wait) for (id, no), wait in zip(attempts, waits, strict=True)]
        return [id for (id,) in line.ask(self._redispatch, self._again.params(rows)).rows]


def _milliseconds(grace: timedelta | None) -> int | None:
    return None if grace is None else round(grace.total_seconds() * 1000)


def _ended_row(ended: AttemptEnded) -> tuple[Any, ...]:
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
        ended.finished_at,
        ended.log_bytes,
    )
