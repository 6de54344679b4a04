"""The claim: `dispatched → running`, the one write that gives a right to execute.

One statement claims a whole batch. It skips rows that another transaction has locked, so that it
never waits while it holds locks itself: no deadlock with the leader's batches is possible. What
was skipped is then claimed row by row, waiting. The worker's row is held FOR KEY SHARE meanwhile,
which a newer boot's registration (it changes a key column) has to wait for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Text,
    bindparam,
    select,
    true,
    type_coerce,
    update,
)

from headway.crash_points import crash_point
from headway.protocol.messages import Claim, ClaimBatch, LostReason, Work
from headway_coordinator.application.worker_ports import ClaimResult
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.lines import Line, Prepared
from headway_coordinator.storage.renewing import renewed
from headway_coordinator.storage.rows import Rows
from headway_coordinator.storage.schema import ATTEMPT_DISPATCHED, ATTEMPT_RUNNING, attempt, worker

_WORK = type_coerce(attempt.c.work, Text).label("work_text")


class Claims:
    """One statement for a batch that wins; a second and more only for what was not won."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._claims = database.rows(id=Text(), fence=BigInteger(), queue=Text())
        self._take = database.prepared(_take(database, self._claims, skip_locked=True))
        self._take_waiting = database.prepared(_take(database, self._claims, skip_locked=False))
        by_boot = select(worker.c.worker).where(
            worker.c.worker == bindparam("by_worker"),
            worker.c.boot == bindparam("by_boot"),
            worker.c.team == bindparam("by_team"),
        )
        self._boot = database.prepared(by_boot)
        self._renew = database.prepared(_renew(database, self._claims))
        look = select(
            attempt.c.id,
            attempt.c.fence,
            attempt.c.state,
            attempt.c.queue,
            attempt.c.worker,
            attempt.c.boot,
            attempt.c.cancel_at,
            attempt.c.claimed_at,
            _WORK,
        ).where(
            attempt.c.id.in_(select(self._claims.c.id)),
            attempt.c.team == bindparam("by_team"),
        )
        self._look = database.prepared(look)

    @crash_point("workers.claim")
    def claim(self, team: str, batch: ClaimBatch, lease: timedelta) -> list[ClaimResult] | None:
        """Return what each claim got, in order; None: the boot is superseded."""
        by = {"by_team": team, "by_worker": batch.worker, "by_boot": batch.boot}
        with self._database.prompt_line() as line:
            won = self._won(line, self._take, batch.claims, by, lease)
            left = [claim for claim in batch.claims if (claim.attempt, claim.fence) not in won]
            if not left:
                return [_answer(claim, won, {}, batch) for claim in batch.claims]
            if not line.ask(self._boot, by).rows:
                return None
            rows = self._rows(line, left, by)
            held = [claim for claim in left if _is_held(rows.get(claim.attempt), claim, batch)]
            if held:
                won |= self._won(line, self._renew, held, by, lease)
            skipped = [claim for claim in left if _is_claimable(rows.get(claim.attempt), claim)]
            for claim in skipped:
                won |= self._won(line, self._take_waiting, [claim], by, lease)
            if skipped:
                rows = self._rows(line, left, by)
        return [_answer(claim, won, rows, batch) for claim in batch.claims]

    def _won(
        self,
        line: Line,
        take: Prepared,
        claims: Sequence[Claim],
        by: dict[str, str],
        lease: timedelta,
    ) -> dict[tuple[str, int], str]:
        rows = self._claims.params((c.attempt, c.fence, c.queue) for c in claims)
        params = {**rows, **by, "lease": self._database.span(lease)}
        return {(r.id, r.fence): r.work_text for r in line.ask(take, params).rows}

    def _rows(self, line: Line, claims: Iterable[Claim], by: dict[str, str]) -> dict[str, Any]:
        rows = self._claims.params((c.attempt, c.fence, c.queue) for c in claims)
        found = line.ask(self._look, {**rows, "by_team": by["by_team"]}).rows
        return {row.id: row for row in found}


def _take(database: Database, claims: Rows, *, skip_locked: bool) -> Any:
    boot = (
        select(worker.c.worker, worker.c.boot, worker.c.team)
        .where(
            worker.c.worker == bindparam("by_worker"),
            worker.c.boot == bindparam("by_boot"),
            worker.c.team == bindparam("by_team"),
        )
        .with_for_update(read=True, key_share=True)
        .cte("claiming")
    )
    free = (
        select(attempt.c.id, boot.c.worker, boot.c.boot)
        .select_from(attempt)
        .join(claims.source, attempt.c.id == claims.c.id)
        .join(boot, true())
        .where(attempt.c.fence == claims.c.fence, attempt.c.queue == claims.c.queue)
        .where(attempt.c.team == boot.c.team, ATTEMPT_DISPATCHED, attempt.c.cancel_at.is_(None))
        .with_for_update(key_share=True, of=attempt, skip_locked=skip_locked)
        .cte("free")
    )
    return (
        update(attempt)
        .where(attempt.c.id == free.c.id)
        .values(
            state="running",
            worker=free.c.worker,
            boot=free.c.boot,
            claimed_at=database.now,
            lease_expires_at=database.later("lease"),
        )
        .returning(attempt.c.id, attempt.c.fence, _WORK)
    )


def _renew(database: Database, claims: Rows) -> Any:
    """Give what a repeated claim has won before a new lease: its holder counts from this request.

    What was sent in between may have run out, and still counts while no sweep has written so.
    """
    found = (
        select(attempt.c.id)
        .join(claims.source, attempt.c.id == claims.c.id)
        .where(attempt.c.fence == claims.c.fence, attempt.c.team == bindparam("by_team"))
        .where(attempt.c.worker == bindparam("by_worker"), attempt.c.boot == bindparam("by_boot"))
        .where(ATTEMPT_RUNNING)
        .with_for_update(key_share=True, of=attempt)
        .cte("found")
    )
    return (
        update(attempt)
        .where(attempt.c.id == found.c.id)
        .values(lease_expires_at=renewed(database))
        .returning(attempt.c.id, attempt.c.fence, _WORK)
    )


def _is_claimable(row: Any, claim: Claim) -> bool:
    return (
        row is not None
        and row.state == "dispatched"
        and (row.fence, row.queue) == (claim.fence, claim.queue)
        and row.cancel_at is None
    )


def _answer(
    claim: Claim, won: dict[tuple[str, int], str], rows: dict[str, Any], batch: ClaimBatch
) -> ClaimResult:
    work = won.get((claim.attempt, claim.fence))
    row = rows.get(claim.attempt)
    if work is not None:
        parsed = Work.model_validate_json(work)
        return ClaimResult(claim.attempt, claim.fence, parsed, None)
    return ClaimResult(claim.attempt, claim.fence, None, _why(row, claim))


def _is_held(row: Any, claim: Claim, batch: ClaimBatch) -> bool:
    """Say whether this claim was won before and is only repeated."""
    if row is None:
        return False
    held = (row.state, row.worker, row.boot, row.fence, row.queue)
    return held == ("running", batch.worker, batch.boot, claim.fence, claim.queue)


def _why(row: Any, claim: Claim) -> LostReason:
    if row is None or row.queue != claim.queue:
        return LostReason.UNKNOWN
    if row.fence != claim.fence:
        return LostReason.SUPERSEDED
    match row.state:
        case "running":
            return LostReason.RUNNING
        case "dispatched":  # a lock that was not waited out: the sweep sends it again
            return LostReason.UNKNOWN
        case "cancelled" if row.claimed_at is None:
            return LostReason.CANCELLED
        case _:
            return LostReason.TERMINAL
