"""What a batch of the leader leaves in the outbox: runs that ended and whose pipelines tell of it.

Whether a success is a recovery is decided where the row is written; see `storage.notifications`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from headway import ids
from headway.clock import Clock, rfc3339
from headway.plan.model import Plan
from headway_coordinator.application.batch import Batch
from headway_coordinator.application.notify_ports import NewNotification
from headway_coordinator.engine.model import Run
from headway_coordinator.engine.states import RUN_TERMINAL, RunStatus

RECOVERED = "recovered"


def noted(batch: Batch, clock: Clock) -> list[NewNotification]:
    """Return the notifications of the batch; the same end gives the same ones, but for ids."""
    return [
        new
        for touched in batch.touched.values()
        if touched.state.plan.notify
        and touched.run_moved
        and touched.state.run.status in RUN_TERMINAL
        for new in _of(touched.state.plan, touched.state.run, clock)
    ]


def _of(plan: Plan, run: Run, clock: Clock) -> Iterable[NewNotification]:
    events = [str(run.status)]
    if run.status is RunStatus.SUCCEEDED:
        events.append(RECOVERED)
    for number, notify in enumerate(plan.notify):
        for event in events:
            if event in notify.on:
                yield NewNotification(
                    id=ids.new_id(clock),
                    dedupe=f"{run.id}:{run.request}:{number}:{event}",
                    team=run.team,
                    pipeline=run.pipeline,
                    run=run.id,
                    event=event,
                    webhook=notify.webhook,
                    body=_body(event, plan, run),
                )


def _body(event: str, plan: Plan, run: Run) -> dict[str, Any]:
    return {
        "event": event,
        "run": run.id,
        "pipeline": run.pipeline,
        "team": run.team,
        "owner": plan.owner,
        "runbook": plan.runbook,
        "state": str(run.status),
        "reason": run.reason,
        "logical_date": rfc3339(run.logical_date),
        "created_at": rfc3339(run.created_at),
        "started_at": _time(run.started_at),
        "finished_at": _time(run.finished_at),
        "link": f"/runs/{run.id}",
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
