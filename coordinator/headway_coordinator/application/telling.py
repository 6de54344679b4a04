"""What a batch of the leader tells others: runs that ended, assets that were updated, as events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from headway import ids
from headway.clock import Clock, rfc3339
from headway.plan.model import Plan
from headway_coordinator.application.batch import Batch, Touched
from headway_coordinator.application.trigger_ports import NewEvent
from headway_coordinator.engine.model import Run, Step, plain_outputs
from headway_coordinator.engine.state import RunState
from headway_coordinator.engine.states import RUN_TERMINAL, StepStatus
from headway_coordinator.triggers.keys import short


def told(batch: Batch, clock: Clock) -> list[NewEvent]:
    """Return the events of the batch; the same decision made twice gives the same ones."""
    return [event for touched in batch.touched.values() for event in _of(touched, batch.now, clock)]


def ends_a_date(batch: Batch) -> bool:
    """Say whether a run of a backfill has ended: its lane has room, though no event tells so."""
    return any(
        touched.run_moved and run.status in RUN_TERMINAL and "backfill" in run.origin
        for touched in batch.touched.values()
        for run in [touched.state.run]
    )


def _of(touched: Touched, now: datetime, clock: Clock) -> Iterable[NewEvent]:
    state = touched.state
    plan, run = state.plan, state.run
    if plan.produces:
        for step in touched.moved_to(StepStatus.SUCCEEDED):
            planned = plan.by_key.get(step.key)  # None: a child; its parent's success counts
            for uri in planned.produces if planned is not None else ():
                yield _asset(state, step, uri, now, clock)
    if touched.run_moved and run.status in RUN_TERMINAL:
        yield _ended(run, plan, clock)


def _asset(state: RunState, step: Step, uri: str, now: datetime, clock: Clock) -> NewEvent:
    run = state.run
    return NewEvent(
        id=ids.new_id(clock),
        team=run.team,
        origin="asset",
        subject=uri,
        dedupe=f"asset:{run.id}:{step.key}:{step.attempts}:{short(uri)}",
        actor=f"run:{run.id}",
        event={
            "id": f"{run.id}/{step.key}/{step.attempts}",
            "source": f"/pipelines/{run.team}/{run.pipeline}",
            "type": "headway.asset.updated",
            "subject": uri,
            "time": rfc3339(step.finished_at or now),
            "name": "updated",
            "data": {**_facts(run), "asset": uri, "step": step.key, "outputs": plain_outputs(step)},
            "depth": _depth(run),
            "visible_to": list(state.plan.visible_to),
        },
    )


def _ended(run: Run, plan: Plan, clock: Clock) -> NewEvent:
    return NewEvent(
        id=ids.new_id(clock),
        team=run.team,
        origin="pipeline",
        subject=f"{run.team}/{run.pipeline}",
        dedupe=f"run:{run.id}:{run.request}",
        actor=f"run:{run.id}",
        event={
            "id": f"{run.id}/{run.request}",
            "source": f"/pipelines/{run.team}/{run.pipeline}",
            "type": f"headway.run.{run.status}",
            "subject": run.id,
            "time": rfc3339(run.finished_at or run.created_at),
            "name": str(run.status),
            "data": {**_facts(run), "state": str(run.status), "reason": run.reason},
            "depth": _depth(run),
            "visible_to": list(plan.visible_to),
        },
    )


def _facts(run: Run) -> dict[str, Any]:
    return {
        "run": run.id,
        "pipeline": run.pipeline,
        "team": run.team,
        "params": dict(run.params),
        "logical_date": rfc3339(run.logical_date),
    }


def _depth(run: Run) -> int:
    return int(run.origin.get("depth") or 0) + 1
