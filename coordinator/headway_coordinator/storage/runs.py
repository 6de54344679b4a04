"""Runs as the leader loads them: rows back into the engine's values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Text, and_, case, select

from headway_coordinator.application.advancing_ports import Withdrawal
from headway_coordinator.application.ports import InGroup, StoredRun
from headway_coordinator.engine.model import Live, Paused, Run, Step
from headway_coordinator.engine.states import RunStatus, StepStatus
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.documents import clean_text
from headway_coordinator.storage.schema import RUN_OPEN, attempt, run, step


class StoredRuns:
    """Implements `Runs`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wanted = wanted = database.rows(id=Text())
        ids = select(wanted.c.id)
        steps = select(step).where(step.c.run_id.in_(ids)).order_by(step.c.run_id, step.c.idx)
        self._runs = database.prepared(select(run).where(run.c.id.in_(ids)))
        self._steps = database.prepared(steps)
        self._attempts = database.prepared(
            select(
                attempt.c.run_id,
                attempt.c.step,
                attempt.c.id,
                attempt.c.no,
                attempt.c.fence,
                attempt.c.queue,
                attempt.c.state,
                attempt.c.stop_reason,
                attempt.c.claimed_at,
            )
            .join(
                step,
                and_(
                    step.c.run_id == attempt.c.run_id,
                    step.c.key == attempt.c.step,
                    step.c.attempts == attempt.c.no,
                ),
            )
            .where(attempt.c.run_id.in_(ids), step.c.state == "running")
        )

    def open_ids(self, limit: int = 100_000) -> list[str]:
        wanted = (
            select(run.c.id)
            .where(RUN_OPEN, run.c.quarantine.is_(None))
            .order_by(run.c.created_at, run.c.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return list(connection.execute(wanted).scalars())

    def in_group(self, group: str) -> list[InGroup]:
        started = case((run.c.state == "queued", None), else_=run.c.started_at)
        wanted = (
            select(run.c.id, run.c.priority, run.c.created_at, started)
            .where(RUN_OPEN, run.c.group_key == clean_text(group))
            .order_by(run.c.priority.desc(), run.c.created_at, run.c.id)
        )
        with self._database.reading() as connection:
            return [InGroup(*row) for row in connection.execute(wanted)]

    def load(self, ids: Sequence[str]) -> list[StoredRun]:
        if not ids:
            return []
        params = self._wanted.params((id,) for id in ids)
        with self._database.reading_line() as line:
            runs = {row.id: row for row in line.ask(self._runs, params).rows}
            if not runs:
                return []
            steps = defaultdict(list)
            for row in line.ask(self._steps, params).rows:
                steps[row.run_id].append(row)
            held: defaultdict[str, dict[str, Any]] = defaultdict(dict)
            for row in line.ask(self._attempts, params).rows:
                held[row.run_id][row.step] = row
        return [_stored(runs[id], steps[id], held[id]) for id in dict.fromkeys(ids) if id in runs]


def _stored(found: Any, steps: list[Any], held: dict[str, Any]) -> StoredRun:
    withdrawn = tuple(
        Withdrawal(row.run_id, row.id, row.fence, row.stop_reason)
        for row in held.values()
        if _is_withdrawn(row)
    )
    return StoredRun(
        _run(found),
        tuple(_step(s, held.get(s.key)) for s in steps),
        withdrawn,
        quarantine=found.quarantine,
    )


def _is_withdrawn(row: Any) -> bool:
    """Say whether the attempt was cancelled before anybody claimed it."""
    return bool(row.state == "cancelled" and row.claimed_at is None and row.stop_reason is not None)


def _run(row: Any) -> Run:
    return Run(
        id=row.id,
        team=row.team,
        pipeline=row.pipeline,
        digest=row.digest,
        status=RunStatus(row.state),
        params=row.params,
        actor=row.actor,
        priority=row.priority,
        logical_date=row.logical_date,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        deadline_at=row.deadline_at,
        verdict=None if row.verdict is None else RunStatus(row.verdict),
        reason=row.reason,
        request=row.request,
        group=row.group_key,
        origin=row.origin or {},
        paused=None if row.paused is None else _paused(row.paused),
    )


def _paused(kept: dict[str, Any]) -> Paused:
    return Paused(datetime.fromisoformat(kept["at"]), kept["by"], kept["reason"])


def _step(row: Any, held: Any | None) -> Step:
    live = None
    if held is not None and (held.state in ("dispatched", "running") or _is_withdrawn(held)):
        live = Live(held.id, held.no, held.fence, held.queue)
    return Step(
        key=row.key,
        status=StepStatus(row.state),
        attempts=row.attempts,
        failures=row.failures,
        losses=row.losses,
        live=live,
        reason=row.reason,
        due_at=row.due_at,
        ready_at=row.ready_at,
        finished_at=row.finished_at,
        outputs=row.outputs if isinstance(row.outputs, dict) else tuple(row.outputs),
        artifacts=tuple(row.artifacts),
        error=row.error,
        items=None if row.items is None else tuple(row.items),
        progress=row.progress,
    )
