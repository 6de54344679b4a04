"""What the deciding transaction does to backfills. The backfill's row is locked first, so that
whoever steers it waits for what is being started, and is not overtaken by it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, case, exists, select, update

from headway_coordinator.application.backfill_ports import OpenDate, TakenDate
from headway_coordinator.storage.counting import expect
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.rows import types_of
from headway_coordinator.storage.schema import (
    BACKFILL_RUNNING,
    DATE_OPEN,
    DATE_WAITING,
    backfill,
    backfill_run,
)

# With the backfill in each row both databases look the dates up by the key, one by one. Were it a
# condition of its own, they would read all that waits for each of them.
_TAKEN = ("backfill", "logical_date", "run", "outcome", "reason")
_ENDED = ("backfill", "logical_date", "run")


class BackfillStatements:
    """The statements, made once a process."""

    def __init__(self, database: Database) -> None:
        now = database.now
        self._hold = (
            select(backfill.c.id)
            .where(
                backfill.c.id == bindparam("of_backfill"),
                BACKFILL_RUNNING,
                backfill.c.max_in_flight == bindparam("of_lane"),
            )
            .with_for_update(key_share=True)
        )
        self._taken = database.rows(**types_of(backfill_run, _TAKEN))
        given = self._taken.c
        self._take = (
            update(backfill_run)
            .where(
                backfill_run.c.backfill == given.backfill,
                backfill_run.c.logical_date == given.logical_date,
                DATE_WAITING,
            )
            .values(
                run=given.run,
                outcome=given.outcome,
                reason=given.reason,
                settled_at=case((given.run.is_(None), now)),
            )
        )
        self._ended = database.rows(**types_of(backfill_run, _ENDED))
        ended = self._ended.c
        self._settle = (
            update(backfill_run)
            .where(
                backfill_run.c.backfill == ended.backfill,
                backfill_run.c.logical_date == ended.logical_date,
                backfill_run.c.run == ended.run,
                DATE_OPEN,
            )
            .values(settled_at=now)
        )
        unsettled = exists().where(
            backfill_run.c.backfill == backfill.c.id, backfill_run.c.settled_at.is_(None)
        )
        self._end = (
            update(backfill)
            .where(backfill.c.id == bindparam("of_backfill"), BACKFILL_RUNNING, ~unsettled)
            .values(state="done", ended_at=now)
        )

    def hold(self, connection: Connection, id: str, max_in_flight: int) -> None:
        given = {"of_backfill": id, "of_lane": max_in_flight}
        held = connection.execute(self._hold, given).all()
        expect(len(held), 1, "running backfills of that lane")

    def take(self, connection: Connection, id: str, taken: Sequence[TakenDate]) -> None:
        if taken:
            rows = [(id, t.logical_date, t.run, t.outcome, t.reason) for t in taken]
            found = connection.execute(self._take, self._taken.params(rows))
            expect(found.rowcount, len(rows), "waiting dates")

    def settle(self, connection: Connection, ended: Sequence[OpenDate]) -> None:
        if ended:
            rows = [(e.backfill, e.logical_date, e.run) for e in ended]
            found = connection.execute(self._settle, self._ended.params(rows))
            expect(found.rowcount, len(rows), "open dates")

    def end(self, connection: Connection, id: str) -> None:
        ended = connection.execute(self._end, {"of_backfill": id})
        expect(ended.rowcount, 1, "backfills without an open date")
