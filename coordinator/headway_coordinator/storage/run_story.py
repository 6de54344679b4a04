"""One run with its steps and attempts, as people and commands are shown it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from headway_coordinator.storage.documents import clean_text
from headway_coordinator.storage.schema import attempt, definition, inbox, run, step

_ATTEMPTS = select(
    attempt.c.step,
    attempt.c.id,
    attempt.c.no,
    attempt.c.state,
    attempt.c.worker,
    attempt.c.queue,
    attempt.c.dispatched_at.label("queued_at"),
    func.coalesce(attempt.c.started_at, attempt.c.claimed_at).label("started_at"),
    attempt.c.finished_at,
    attempt.c.exit_code,
    attempt.c.error,
    attempt.c.reason,
    attempt.c.log_bytes,
)
_STEPS = select(
    step.c.key.label("step"),
    step.c.state,
    step.c.reason,
    step.c.error,
    step.c.outputs,
    step.c.artifacts,
    step.c.ready_at,
    step.c.finished_at,
    step.c.due_at,
)


def show_run(connection: Connection, id: str) -> dict[str, Any] | None:
    """Return the run's whole story, or None.

    The run is read before its steps: if it is shown as ended, so are they.
    """
    id = clean_text(id)
    wanted = select(run).where(run.c.id == id)
    row = connection.execute(wanted).one_or_none()
    if row is None:
        accepted = connection.execute(_accepting(id)).one_or_none()
        if accepted is None:
            return None
        # Between the two looks the leader may have applied it: then its row is there now.
        row = connection.execute(wanted).one_or_none()
        if row is None:
            return _accepted(accepted)
    story = _story(row, _version(connection, row))
    steps = connection.execute(_STEPS.where(step.c.run_id == id).order_by(step.c.idx)).all()
    attempts = defaultdict(list)
    made = _ATTEMPTS.where(attempt.c.run_id == id).order_by(attempt.c.step, attempt.c.no)
    for found in connection.execute(made):
        one = dict(found._mapping)
        attempts[one.pop("step")].append(one)
    story["steps"] = [{**s._mapping, "attempts": attempts[s.step]} for s in steps]
    return story


def brief_steps(connection: Connection, id: str) -> dict[str, dict[str, Any]]:
    """Return `{step: {state, attempts, reason, outputs}}` in the plan's order."""
    wanted = select(step.c.key, step.c.state, step.c.attempts, step.c.reason, step.c.outputs)
    rows = connection.execute(wanted.where(step.c.run_id == clean_text(id)).order_by(step.c.idx))
    return {
        row.key: {
            "state": row.state,
            "attempts": row.attempts,
            "reason": row.reason,
            "outputs": row.outputs,
        }
        for row in rows
    }


def _version(connection: Connection, row: Row[Any]) -> int | None:
    """Return the newest version of the definition that the run can have been started from."""
    same = select(func.max(definition.c.version)).where(
        definition.c.digest == row.digest,
        definition.c.team == row.team,
        definition.c.pipeline == row.pipeline,
        definition.c.created_at <= row.created_at,
    )
    version: int | None = connection.execute(same).scalar()
    return version


def _story(row: Row[Any], version: int | None) -> dict[str, Any]:
    return {
        "id": row.id,
        "pipeline": row.pipeline,
        "team": row.team,
        "state": row.state,
        "digest": row.digest,
        "version": version,
        "params": row.params,
        "actor": row.actor,
        "reason": row.reason,
        "quarantine": row.quarantine,
        "logical_date": row.logical_date,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "deadline_at": row.deadline_at,
        "retries": row.request,
        "group": row.group_key,
        "origin": row.origin,
    }


def _accepting(id: str) -> Select[Any]:
    wanted = select(inbox).where(inbox.c.run == id, inbox.c.kind == "run")
    return wanted.order_by(inbox.c.id).limit(1)


def _accepted(row: Row[Any]) -> dict[str, Any]:
    """Return a run that is in the inbox alone: not applied yet, or refused when it was."""
    body = row.body
    return {
        "id": row.run,
        "pipeline": row.pipeline,
        "team": row.team,
        "state": "queued" if row.applied_at is None else "failed",
        "digest": body.get("digest"),
        "version": None,
        "params": body.get("params", {}),
        "actor": row.actor,
        "reason": row.result,
        "quarantine": None,
        "logical_date": body.get("logical_date"),
        "created_at": row.created_at,
        "started_at": None,
        "finished_at": row.applied_at,
        "deadline_at": None,
        "retries": 0,
        "group": None,
        "origin": body.get("origin"),
        "steps": [],
    }
