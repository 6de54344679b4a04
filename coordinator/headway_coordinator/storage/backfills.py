"""Backfills: kept whole with their dates, steered, and shown as their rows and their runs say.

Whoever changes one locks its row first. Each change leaves a row in the audit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, literal, select, update

from headway.crash_points import crash_point
from headway_coordinator.application.backfill_ports import (
    BackfillFilter,
    BackfillState,
    NewBackfill,
    OpenDate,
    StoredBackfill,
    WaitingDate,
)
from headway_coordinator.application.ports import PreconditionFailed
from headway_coordinator.schedule.backfilling import (
    DATE_ENDED,
    DATE_FAILED,
    Date,
    RunOfDate,
    chosen,
)
from headway_coordinator.storage.backfill_reads import (
    JOINED,
    READ,
    STATE,
    failures_of,
    open_dates_of,
    progress_of,
    runs_of_dates,
    stored,
)
from headway_coordinator.storage.counting import expect
from headway_coordinator.storage.cursors import read_cursor
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.documents import clean_text
from headway_coordinator.storage.lists import newest, page_of
from headway_coordinator.storage.rows import insert_all, types_of
from headway_coordinator.storage.schema import (
    BACKFILL_RUNNING,
    DATE_WAITING,
    audit,
    backfill,
    backfill_run,
    inbox,
    pipeline,
    run,
)
from headway_coordinator.storage.upsert import insert

_DATE = ("backfill", "logical_date", "start_at", "end_at")
_CANCEL = ("run", "kind", "dedupe", "actor", "body")
_CHUNK = 1000  # dates in one statement
_LISTED = (
    backfill_run.c.logical_date,
    backfill_run.c.start_at.label("data_interval_start"),
    backfill_run.c.end_at.label("data_interval_end"),
    backfill_run.c.run,
    STATE,
    backfill_run.c.reason,
)


class StoredBackfills:
    """Implements `Backfills`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dates = database.rows(**types_of(backfill_run, _DATE))
        self._insert_dates = insert_all(backfill_run, _DATE, self._dates, no=literal(1, Integer()))
        self._cancels = database.rows(**types_of(inbox, _CANCEL))
        asked = select(*(self._cancels.c[name] for name in _CANCEL), database.now)
        self._insert_cancels = (
            insert(database.dialect, inbox)
            .from_select(
                [*_CANCEL, "created_at"],
                # The condition keeps SQLite from reading ON CONFLICT as a join's ON.
                asked.where(self._cancels.c.run.is_not(None)),
                include_defaults=False,
            )
            .on_conflict_do_nothing(index_elements=["dedupe"])
        )
        self._again = database.rows(**types_of(backfill_run, ("backfill", "logical_date", "no")))
        self._wait_again = (
            update(backfill_run)
            .where(
                backfill_run.c.backfill == self._again.c.backfill,
                backfill_run.c.logical_date == self._again.c.logical_date,
                backfill_run.c.no == self._again.c.no,
            )
            .values(run=None, outcome=None, reason=None, settled_at=None, no=backfill_run.c.no + 1)
        )

    # --- starting one ----------------------------------------------------------------------------

    def runs_of(self, team: str, pipeline: str, first: datetime, last: datetime) -> list[RunOfDate]:
        with self._database.reading() as connection:
            return runs_of_dates(connection, team, pipeline, first, last)

    @crash_point("backfills.create")
    def create(self, new: NewBackfill, dates: Sequence[Date]) -> tuple[StoredBackfill, bool]:
        with self._database.transaction() as connection:
            return self._create(connection, new, dates)

    @crash_point("backfills.create.rows")
    def _create(
        self, connection: Connection, new: NewBackfill, dates: Sequence[Date]
    ) -> tuple[StoredBackfill, bool]:
        # Two that want what is missing come one after the other: the second sees the first one's.
        place = pipeline.c.team == new.team, pipeline.c.name == new.pipeline
        connection.execute(select(pipeline.c.name).where(*place).with_for_update(key_share=True))
        is_new = self._insert(connection, new)
        if is_new:
            span = dates[0].logical_date, dates[-1].logical_date
            runs = runs_of_dates(connection, new.team, new.pipeline, *span)
            wanted = chosen(new.choice, dates, runs)
            if not wanted:
                raise PreconditionFailed("no date is left to be run")
            for first in range(0, len(wanted), _CHUNK):
                chunk = wanted[first : first + _CHUNK]
                rows = [(new.id, d.logical_date, d.start, d.end) for d in chunk]
                connection.execute(self._insert_dates, self._dates.params(rows))
            self._note(connection, new.id, new.team, "running", new.actor, dates=len(wanted))
        there = select(*READ).where(backfill.c.dedupe == clean_text(new.dedupe))
        return stored(connection.execute(there).one()), is_new

    def _insert(self, connection: Connection, new: NewBackfill) -> bool:
        texts = {k: clean_text(v) if isinstance(v, str) else v for k, v in asdict(new).items()}
        row = (
            insert(self._database.dialect, backfill)
            .values(**texts, state="running", created_at=self._database.now)
            .on_conflict_do_nothing(index_elements=["dedupe"])
            .returning(backfill.c.id)
        )
        return connection.execute(row).one_or_none() is not None

    # --- reading ---------------------------------------------------------------------------------

    def get(self, id: str) -> StoredBackfill | None:
        return self._one(backfill.c.id == clean_text(id))

    def of_key(self, dedupe: str) -> StoredBackfill | None:
        return self._one(backfill.c.dedupe == clean_text(dedupe))

    def _one(self, condition: ColumnElement[bool]) -> StoredBackfill | None:
        with self._database.reading() as connection:
            row = connection.execute(select(*READ).where(condition)).one_or_none()
        return None if row is None else stored(row)

    def listing(self, wanted: BackfillFilter) -> tuple[list[StoredBackfill], str | None]:
        rows = select(*READ)
        if wanted.pipeline is not None:
            rows = rows.where(backfill.c.pipeline == clean_text(wanted.pipeline))
        if wanted.state is not None:
            rows = rows.where(backfill.c.state == wanted.state)
        at, id = backfill.c.created_at, backfill.c.id
        rows = newest(rows, wanted, team=backfill.c.team, at=at, id=id)
        with self._database.reading() as connection:
            found = [stored(row) for row in connection.execute(rows)]
        return page_of(found, wanted.limit, lambda each: (each.created_at, each.id))

    def progress(self, ids: Collection[str]) -> dict[str, dict[str, int]]:
        with self._database.reading() as connection:
            return progress_of(connection, ids)

    def dates(
        self, backfill: StoredBackfill, limit: int, cursor: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        date = backfill_run.c.logical_date
        newest_first = backfill.wanted.newest_first
        rows = select(*_LISTED).select_from(JOINED).where(backfill_run.c.backfill == backfill.id)
        if cursor is not None:
            last, _ = read_cursor(cursor)
            rows = rows.where(date < last if newest_first else date > last)
        rows = rows.order_by(date.desc() if newest_first else date).limit(limit + 1)
        with self._database.reading() as connection:
            found = [dict(row._mapping) for row in connection.execute(rows)]
            page, following = page_of(found, limit, lambda row: (row["logical_date"], ""))
            failed = {row["run"]: row for row in page if row["state"] in DATE_FAILED}
            failed.pop(None, None)  # those that have no run have said why
            for run, why in failures_of(connection, failed).items() if failed else ():
                failed[run]["reason"] = failed[run]["reason"] or why
        return page, following

    def running(self) -> list[StoredBackfill]:
        wanted = select(*READ).where(BACKFILL_RUNNING)
        with self._database.reading() as connection:
            rows = connection.execute(wanted.order_by(backfill.c.created_at, backfill.c.id))
            return [stored(row) for row in rows]

    def open_dates(self, ids: Collection[str]) -> list[OpenDate]:
        with self._database.reading() as connection:
            return open_dates_of(connection, ids)

    def waiting(self, backfill: StoredBackfill, limit: int) -> list[WaitingDate]:
        date = backfill_run.c.logical_date
        wanted = (
            select(date, backfill_run.c.start_at, backfill_run.c.end_at, backfill_run.c.no)
            .where(backfill_run.c.backfill == backfill.id, DATE_WAITING)
            .order_by(date.desc() if backfill.wanted.newest_first else date)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [WaitingDate(Date(*row[:3]), row[3]) for row in connection.execute(wanted)]

    # --- steering --------------------------------------------------------------------------------

    @crash_point("backfills.steer")
    def steer(self, id: str, *, before: BackfillState, after: BackfillState, actor: str) -> bool:
        with self._database.transaction() as connection:
            return self._steer(connection, id, before, after, actor)

    @crash_point("backfills.steer.rows")
    def _steer(
        self,
        connection: Connection,
        id: str,
        before: BackfillState,
        after: BackfillState,
        actor: str,
    ) -> bool:
        return self._move(connection, id, (before,), after, actor)

    @crash_point("backfills.cancel")
    def cancel(self, id: str, *, actor: str, reason: str | None, keep_running: bool) -> int | None:
        with self._database.transaction() as connection:
            return self._cancel(connection, id, actor, reason, keep_running=keep_running)

    @crash_point("backfills.cancel.rows")
    def _cancel(
        self, connection: Connection, id: str, actor: str, reason: str | None, *, keep_running: bool
    ) -> int | None:
        ended = {"ended_at": self._database.now, "reason": clean_text(reason)}
        states = ("paused", "running")
        if not self._move(connection, id, states, "cancelled", actor, ended):
            return None
        if keep_running:
            return 0
        body = {"reason": reason or f"backfill {id} was cancelled"}
        open_dates = open_dates_of(connection, [id])
        going_on = [each.run for each in open_dates if each.state not in DATE_ENDED]
        if going_on:
            rows = [(run, "cancel", f"cancel:{run}:backfill:{id}", actor, body) for run in going_on]
            connection.execute(self._insert_cancels, self._cancels.params(rows))
        return len(going_on)

    @crash_point("backfills.set_lane")
    def set_lane(self, id: str, *, max_in_flight: int, actor: str) -> int | None:
        with self._database.transaction() as connection:
            return self._set_lane(connection, id, max_in_flight, actor)

    @crash_point("backfills.set_lane.rows")
    def _set_lane(
        self, connection: Connection, id: str, max_in_flight: int, actor: str
    ) -> int | None:
        same = backfill.c.id == clean_text(id), backfill.c.state.in_(("paused", "running"))
        held = select(backfill.c.team, backfill.c.state, backfill.c.max_in_flight).where(*same)
        row = connection.execute(held.with_for_update(key_share=True)).one_or_none()
        if row is None:
            return None
        before = int(row.max_in_flight)
        if before != max_in_flight:
            change = update(backfill).where(*same, backfill.c.max_in_flight == before)
            moved = connection.execute(change.values(max_in_flight=max_in_flight))
            expect(moved.rowcount, 1, "backfills of that lane")
            lane = [before, max_in_flight]
            self._note(connection, id, row.team, row.state, actor, max_in_flight=lane)
        return before

    @crash_point("backfills.retry")
    def retry(self, id: str, *, actor: str) -> int | None:
        with self._database.transaction() as connection:
            return self._retry(connection, id, actor)

    @crash_point("backfills.retry.rows")
    def _retry(self, connection: Connection, id: str, actor: str) -> int | None:
        locked = select(backfill.c.state).where(backfill.c.id == clean_text(id))
        state = connection.execute(locked.with_for_update(key_share=True)).scalar()
        if state not in ("done", "paused", "running"):
            return None
        # A run that is retried by itself meanwhile goes on: its date must not get another one.
        # The lock waits for who moves it, and the states are read when they cannot change any more.
        mine = run.c.id == backfill_run.c.run
        held = select(run.c.id).join(backfill_run, mine).where(backfill_run.c.backfill == id)
        ended = held.where(run.c.state.in_(DATE_FAILED)).order_by(run.c.id)
        connection.execute(ended.with_for_update(read=True, of=run)).all()
        wanted = (
            select(backfill_run.c.logical_date, backfill_run.c.no, STATE)
            .select_from(JOINED)
            .where(backfill_run.c.backfill == id)
        )
        rows = [(id, *row[:2]) for row in connection.execute(wanted) if row[2] in DATE_FAILED]
        if not rows:
            return 0
        moved = connection.execute(self._wait_again, self._again.params(rows))
        expect(moved.rowcount, len(rows), "dates")
        after = "running" if state == "done" else state
        self._move(connection, id, (state,), after, actor, {"ended_at": None}, retried=len(rows))
        return len(rows)

    def _move(
        self,
        connection: Connection,
        id: str,
        before: Sequence[str],
        after: str,
        actor: str,
        values: Mapping[str, Any] | None = None,
        **noted: Any,
    ) -> bool:
        """Move the backfill's state and note it; False, with nothing done, if it is in another."""
        move = (
            update(backfill)
            .where(backfill.c.id == clean_text(id), backfill.c.state.in_(before))
            .values(state=after, **(values or {}))
            .returning(backfill.c.team)
        )
        row = connection.execute(move).one_or_none()
        if row is None:
            return False
        self._note(connection, id, row.team, after, actor, **noted)
        return True

    def _note(
        self, connection: Connection, id: str, team: str, to: str, actor: str, **more: Any
    ) -> None:
        connection.execute(
            insert(self._database.dialect, audit).values(
                at=self._database.now,
                epoch=0,  # no leader did it
                holder="",
                actor=clean_text(actor),
                team=team,
                run="",
                transitions=[{"entity": "backfill", "id": id, "to": to, **more}],
            )
        )
