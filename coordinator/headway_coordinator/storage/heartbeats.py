"""The heartbeat: leases are renewed, and the worker hears what became of its attempts.

Like the claim, the batch skips locked rows and then waits for the skipped ones one at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, Text, and_, bindparam, exists, select, update

from headway.crash_points import crash_point
from headway.protocol.messages import CANCEL_GRACE_MS, Heartbeat, Held
from headway_coordinator.application.worker_ports import HeartbeatResult
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.renewing import renewed
from headway_coordinator.storage.rows import Rows
from headway_coordinator.storage.schema import (
    ATTEMPT_RUNNING,
    INBOX_PENDING,
    attempt,
    inbox,
    worker,
    worker_boot,
)


class _Renewal:
    """Renews attempts that meet `whose`."""

    def __init__(self, database: Database, held: Rows, whose: Any) -> None:
        self._database = database
        self._held = held
        self._renew = _renew(database, held, whose, skip_locked=True)
        self._renew_waiting = _renew(database, held, whose, skip_locked=False)
        self._still = (
            select(attempt.c.id, attempt.c.fence)
            .join(held.source, and_(attempt.c.id == held.c.id, attempt.c.fence == held.c.fence))
            .where(whose, ATTEMPT_RUNNING)
        )

    def run(
        self, connection: Connection, held: Sequence[Held], by: dict[str, str], lease: timedelta
    ) -> dict[tuple[str, int], int | None]:
        """Return which attempts were renewed; of each that is asked to stop, with what grace."""
        wanted = dict.fromkeys(_keys(held))
        if not wanted:
            return {}
        renewed = self._some(connection, self._renew, wanted, by, lease)
        left = [key for key in wanted if key not in renewed]
        if left:
            params = {**by, **self._held.params(left)}
            for row in connection.execute(self._still, params).all():
                renewed |= self._some(connection, self._renew_waiting, [tuple(row)], by, lease)
        return renewed

    @crash_point("workers.heartbeat.renewal")
    def _some(
        self,
        connection: Connection,
        renew: Any,
        keys: Iterable[tuple[str, int]],
        by: dict[str, str],
        lease: timedelta,
    ) -> dict[tuple[str, int], int | None]:
        params = {**by, **self._held.params(keys), "lease": self._database.span(lease)}
        rows: Iterable[Row[Any]] = connection.execute(renew, params)
        return {(row.id, row.fence): _grace(row) for row in rows}


class Heartbeats:
    """Two statements a beat when all goes well."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held = held = database.rows(id=Text(), fence=BigInteger())
        # What has finished may be an older boot's, whose spool this one found.
        ours = and_(
            attempt.c.worker == bindparam("by_worker"), attempt.c.team == bindparam("by_team")
        )
        self._running = _Renewal(database, held, and_(ours, attempt.c.boot == bindparam("by_boot")))
        self._finished = _Renewal(database, held, ours)
        self._reap = _reap(database, held)
        self._beat = (
            update(worker)
            .where(worker.c.worker == bindparam("by_worker"))
            .where(worker.c.boot == bindparam("by_boot"), worker.c.team == bindparam("by_team"))
            .values(
                seen_at=database.now,
                slots=bindparam("b_slots"),
                slots_free=bindparam("b_slots_free"),
                draining=bindparam("b_draining"),
            )
        )

    @crash_point("workers.heartbeat")
    def heartbeat(self, team: str, beat: Heartbeat, lease: timedelta) -> HeartbeatResult:
        by = {"by_team": team, "by_worker": beat.worker, "by_boot": beat.boot}
        told = {
            "b_slots": beat.slots,
            "b_slots_free": beat.slots_free,
            "b_draining": beat.draining,
        }
        with self._database.prompt() as connection:
            if connection.execute(self._beat, {**by, **told}).rowcount != 1:
                return HeartbeatResult(superseded=True)
            if beat.reaped:
                connection.execute(self._reap, {**by, **self._held.params(_keys(beat.reaped))})
            running = self._running.run(connection, beat.running, by, lease)
            finished = self._finished.run(connection, beat.finished, by, lease)
        return _result(beat, running, finished)


def _renew(database: Database, held: Rows, mine: Any, *, skip_locked: bool) -> Any:
    found = (
        select(attempt.c.id)
        .join(held.source, and_(attempt.c.id == held.c.id, attempt.c.fence == held.c.fence))
        .where(mine, ATTEMPT_RUNNING)
        .with_for_update(key_share=True, of=attempt, skip_locked=skip_locked)
        .cte("found")
    )
    return (
        update(attempt)
        .where(attempt.c.id == found.c.id)
        .values(lease_expires_at=renewed(database))
        .returning(attempt.c.id, attempt.c.fence, attempt.c.cancel_at, attempt.c.cancel_grace_ms)
    )


def _grace(row: Row[Any]) -> int | None:
    """Return how many milliseconds an attempt that is asked to stop has; None: it is not asked."""
    if row.cancel_at is None:
        return None
    return CANCEL_GRACE_MS if row.cancel_grace_ms is None else row.cancel_grace_ms


def _reap(database: Database, held: Rows) -> Any:
    """Note what an older boot of the same worker left; not what has reported its end already."""
    older, newer = worker_boot.alias("older"), worker_boot.alias("newer")
    superseded = exists(
        select(1)
        .select_from(older)
        .join(newer, newer.c.worker == older.c.worker)
        .where(older.c.worker == attempt.c.worker, older.c.boot == attempt.c.boot)
        .where(newer.c.boot == bindparam("by_boot"), older.c.seq < newer.c.seq)
    )
    prefix = "completion:" + attempt.c.id
    reported = exists(
        select(1)
        .where(inbox.c.dedupe >= prefix + ":", inbox.c.dedupe < prefix + ";")
        .where(INBOX_PENDING)
    )
    return (
        update(attempt)
        .where(attempt.c.id == held.c.id, attempt.c.fence == held.c.fence, ATTEMPT_RUNNING)
        .where(attempt.c.worker == bindparam("by_worker"))
        .where(attempt.c.team == bindparam("by_team"), attempt.c.reaped_at.is_(None))
        .where(superseded, ~reported)
        .values(reaped_at=database.now)
    )


def _keys(held: Iterable[Held]) -> list[tuple[str, int]]:
    return [(one.attempt, one.fence) for one in held]


def _result(
    beat: Heartbeat,
    renewed: dict[tuple[str, int], int | None],
    unrecorded: dict[tuple[str, int], int | None],
) -> HeartbeatResult:
    running, finished = _keys(beat.running), _keys(beat.finished)
    graces = {key[0]: grace for key in running if (grace := renewed.get(key)) is not None}
    return HeartbeatResult(
        superseded=False,
        renewed=[key[0] for key in running if key in renewed],
        lost=[key[0] for key in running if key not in renewed],
        cancel=list(graces),
        grace_ms={id: grace for id, grace in graces.items() if grace != CANCEL_GRACE_MS},
        acknowledged=[key[0] for key in finished if key not in unrecorded],
        resend=[key[0] for key in finished if key in unrecorded],
    )
