"""What the sweeps look for: dispatches that nobody took, workers that are gone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Row,
    Select,
    Text,
    cast,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    union_all,
)

from headway.protocol.messages import Dispatch
from headway_coordinator.application.worker_ports import Expired, Occupancy, Unclaimed
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.schema import (
    ATTEMPT_DISPATCHED,
    ATTEMPT_RUNNING,
    RUN_OPEN,
    attempt,
    run,
    step,
)

_DISPATCHED = (
    select(
        attempt.c.team,
        attempt.c.run_id,
        attempt.c.step,
        attempt.c.id,
        attempt.c.fence,
        attempt.c.dispatch_no,
        attempt.c.queue,
        attempt.c.dispatched_at,
        attempt.c.claim_deadline,
    )
    .where(ATTEMPT_DISPATCHED)
    .order_by(attempt.c.dispatched_at, attempt.c.id)
)


class StoredSweeps:
    """Implements `Sweeps`; each query has a partial index that holds only what is live."""

    def __init__(self, database: Database) -> None:
        self._database = database
        counts = union_all(
            select(
                attempt.c.queue,
                literal_column("'dispatched'", Text()).label("state"),
                cast(null(), Text()).label("worker"),
                func.count().label("count"),
            )
            .where(ATTEMPT_DISPATCHED)
            .group_by(attempt.c.queue),
            select(
                attempt.c.queue, literal_column("'running'", Text()), attempt.c.worker, func.count()
            )
            .where(ATTEMPT_RUNNING)
            .group_by(attempt.c.queue, attempt.c.worker),
        )
        self._occupancy = database.prepared(counts)
        waiting = select(attempt.c.queue).where(ATTEMPT_DISPATCHED).distinct()
        long_ago = attempt.c.dispatched_at < database.later("ago")
        self._late = database.prepared(waiting.where(long_ago).order_by(attempt.c.queue))

    def occupancy(self) -> list[Occupancy]:
        with self._database.reading_line() as line:
            return [Occupancy(*row) for row in line.ask(self._occupancy, {}).rows]

    def overdue(self, limit: int = 1000) -> list[Unclaimed]:
        late = _DISPATCHED.where(attempt.c.claim_deadline <= self._database.now)
        return self._unclaimed(late.limit(limit))

    def late(self, by: timedelta) -> list[str]:
        with self._database.reading_line() as line:
            rows = line.ask(self._late, {"ago": self._database.span(-by)}).rows
        return [row.queue for row in rows]

    def unclaimed(self, limit: int = 10_000) -> list[Unclaimed]:
        return self._unclaimed(_DISPATCHED.limit(limit))

    def _unclaimed(self, wanted: Select[Any]) -> list[Unclaimed]:
        with self._database.reading() as connection:
            return [_unclaimed(row) for row in connection.execute(wanted)]

    def expired(self, limit: int = 1000) -> list[Expired]:
        run_out = attempt.c.lease_expires_at <= self._database.now
        wanted = (
            select(
                attempt.c.run_id,
                attempt.c.id,
                attempt.c.fence,
                attempt.c.reaped_at.is_not(None),
            )
            .where(ATTEMPT_RUNNING, or_(run_out, attempt.c.reaped_at.is_not(None)))
            .order_by(attempt.c.lease_expires_at, attempt.c.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            rows = connection.execute(wanted)
            return [Expired(of, id, fence, bool(reaped)) for of, id, fence, reaped in rows]

    def stranded(self, limit: int = 1000) -> list[str]:
        live = exists(
            select(1)
            .where(attempt.c.run_id == step.c.run_id, attempt.c.step == step.c.key)
            .where(attempt.c.no == step.c.attempts)
            .where(or_(ATTEMPT_DISPATCHED, ATTEMPT_RUNNING))
        )
        wanted = (
            select(step.c.run_id)
            .join(run, run.c.id == step.c.run_id)
            .where(step.c.state == literal_column("'running'"), ~live)
            .where(step.c["items"].is_(None))  # with items its children have the attempts
            .where(RUN_OPEN, run.c.quarantine.is_(None))
            .distinct()
            .order_by(step.c.run_id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return list(connection.execute(wanted).scalars())

    def database_now(self) -> datetime:
        return self._database.read_clock()


def _unclaimed(row: Row[Any]) -> Unclaimed:
    dispatch = Dispatch.model_construct(
        v=1,
        team=row.team,
        run=row.run_id,
        step=row.step,
        attempt=row.id,
        fence=row.fence,
        dispatch_no=row.dispatch_no,
        queue=row.queue,
    )
    return Unclaimed(dispatch, row.dispatched_at, row.claim_deadline)
