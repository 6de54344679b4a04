"""What people, pages and commands ask; plain values, ready for JSON but for their times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    TextClause,
    cast,
    func,
    literal_column,
    select,
    union_all,
)

from headway_coordinator.application.ports import RunFilter
from headway_coordinator.storage.cursors import read_number
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.documents import clean_text
from headway_coordinator.storage.queue_view import view_queues
from headway_coordinator.storage.run_lists import list_runs
from headway_coordinator.storage.run_story import brief_steps, show_run
from headway_coordinator.storage.schema import (
    DATE_OPEN,
    DATE_WAITING,
    RUN_OPEN,
    STEP_OPEN,
    audit,
    backfill,
    backfill_run,
    run,
    step,
)
from headway_coordinator.storage.sweeps import StoredSweeps
from headway_coordinator.storage.workers import StoredWorkers

LIVE_WITHIN = timedelta(seconds=15)  # five heartbeats


def _states_of(what: str, state: ColumnElement[str], is_open: TextClause) -> Select[str, str, int]:
    named: tuple[Any, ...] = (literal_column(f"'{what}'"), state, func.count())
    return select(*named).where(is_open).group_by(state)


def _dates(word: str, is_open: TextClause) -> Select[str, str, int]:
    """Each backfill's dates are counted for themselves, by index: those of the many that have
    ended are not looked at."""
    of: ColumnElement[str] = literal_column("backfill.state || ' backfills'")
    state: ColumnElement[str] = literal_column(f"'{word}'")
    mine = select(func.count()).where(backfill_run.c.backfill == backfill.c.id, is_open)
    count = func.sum(mine.correlate(backfill).scalar_subquery())
    return (
        select(of, state, cast(count, Integer))
        .where(backfill.c.state.in_([literal_column("'paused'"), literal_column("'running'")]))
        .group_by(backfill.c.state)
    )


# What is counted for metrics, as (what, state, count): one statement, however much it is.
_COUNTS = union_all(
    _states_of("runs", run.c.state, RUN_OPEN),
    _states_of("steps", step.c.state, STEP_OPEN),
    _dates("waiting", DATE_WAITING),
    _dates("in_flight", DATE_OPEN),
)


class StoredQueries:
    """Implements `Queries`."""

    def __init__(self, database: Database, workers: StoredWorkers, sweeps: StoredSweeps) -> None:
        self._database = database
        self._workers = workers
        self._sweeps = sweeps

    def runs(self, wanted: RunFilter) -> tuple[list[dict[str, Any]], str | None]:
        with self._database.reading() as connection:
            return list_runs(connection, wanted)

    def run(
        self, id: str, *, child: str | None = None, all_children: bool = False
    ) -> dict[str, Any] | None:
        with self._database.reading() as connection:
            return show_run(connection, id, child=child, all_children=all_children)

    def steps_brief(self, id: str) -> dict[str, dict[str, Any]]:
        with self._database.reading() as connection:
            return brief_steps(connection, id)

    def audit(
        self, *, run: str | None, teams: Sequence[str] | None, limit: int, cursor: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Return a page of rows, newest first, and the cursor of the next page."""
        wanted = select(audit).order_by(audit.c.id.desc())
        if run is not None:
            wanted = wanted.where(audit.c.run == clean_text(run))
        if teams is not None:
            wanted = wanted.where(audit.c.team.in_(teams))
        if cursor is not None:
            wanted = wanted.where(audit.c.id < read_number(cursor))
        with self._database.reading() as connection:
            rows = [dict(r._mapping) for r in connection.execute(wanted.limit(limit + 1))]
        page = rows[:limit]
        return page, str(page[-1]["id"]) if len(rows) > limit else None

    def queues(self, *, teams: Sequence[str] | None) -> list[dict[str, Any]]:
        waiting = (
            select(step.c.queue, func.count(), func.min(step.c.ready_at))
            .where(step.c.state == "ready", STEP_OPEN)
            .group_by(step.c.queue)
        )
        with self._database.reading() as connection:
            ready = {row[0]: (row[1], row[2]) for row in connection.execute(waiting)}
        found = view_queues(ready, self._sweeps.occupancy(), self._workers.live(LIVE_WITHIN))
        return [queue for queue in found if teams is None or queue["team"] in teams]

    def counts(self) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {"runs": {}, "steps": {}}
        with self._database.reading() as connection:
            for what, state, count in connection.execute(_COUNTS):
                found.setdefault(what, {})[state] = count
        return found
