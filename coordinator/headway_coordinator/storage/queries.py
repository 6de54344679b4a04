"""What people, pages and commands ask; plain values, ready for JSON but for their times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select

from headway_coordinator.application.ports import RunFilter
from headway_coordinator.storage.cursors import read_number
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.documents import clean_text
from headway_coordinator.storage.queue_view import view_queues
from headway_coordinator.storage.run_lists import list_runs
from headway_coordinator.storage.run_story import brief_steps, show_run
from headway_coordinator.storage.schema import RUN_OPEN, STEP_OPEN, audit, run, step
from headway_coordinator.storage.sweeps import StoredSweeps
from headway_coordinator.storage.workers import StoredWorkers

LIVE_WITHIN = timedelta(seconds=15)  # five heartbeats


class StoredQueries:
    """Implements `Queries`."""

    def __init__(self, database: Database, workers: StoredWorkers, sweeps: StoredSweeps) -> None:
        self._database = database
        self._workers = workers
        self._sweeps = sweeps

    def runs(self, wanted: RunFilter) -> tuple[list[dict[str, Any]], str | None]:
        with self._database.reading() as connection:
            return list_runs(connection, wanted)

    def run(self, id: str) -> dict[str, Any] | None:
        with self._database.reading() as connection:
            return show_run(connection, id)

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
        runs = select(run.c.state, func.count()).where(RUN_OPEN).group_by(run.c.state)
        steps = select(step.c.state, func.count()).where(STEP_OPEN).group_by(step.c.state)
        with self._database.reading() as connection:
            return {
                "runs": dict(tuple(row) for row in connection.execute(runs)),
                "steps": dict(tuple(row) for row in connection.execute(steps)),
            }
