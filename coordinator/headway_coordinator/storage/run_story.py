"""One run with its steps and attempts, as people and commands are shown it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, func, or_, select

from headway.plan.children import child_index
from headway_coordinator.storage.documents import clean_text
from headway_coordinator.storage.schema import RUN_AGAIN, attempt, definition, inbox, run, step

_REQUESTS_SHOWN = 50

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
    func.json_array_length(step.c["items"]).label("items"),
    step.c.idx,
    step.c.progress,
)
_IS_CHILD = step.c.key.contains("[", autoescape=True)
_TELLING = ("failed", "cancelled", "running", "retry_wait", "deferred")
MOST_CHILDREN = 100  # of a run that are shown unless all are asked for


def show_run(
    connection: Connection, id: str, *, child: str | None = None, all_children: bool = False
) -> dict[str, Any] | None:
    """Return the run's whole story, or None.

    Of many children only those that run or have failed are shown, as far as there is room, and
    `child`. The run is read before its steps: if it is shown as ended, so are they.
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
    own = connection.execute(_STEPS.where(step.c.run_id == id, ~_IS_CHILD)).all()
    children: Sequence[Any] = ()
    counts: defaultdict[int, Counter[str]] = defaultdict(Counter)
    if any(each.items is not None for each in own):
        counts = _counts(connection, id)
        few = sum(count.total() for count in counts.values()) <= MOST_CHILDREN
        children = _children(connection, id, child, every=all_children or few)
    rows = sorted([*own, *children], key=lambda row: (row.idx, child_index(row.step) or -1))
    attempts = _attempts(connection, id, None if not children else [row.step for row in children])
    story["requests"] = [_request(r) for r in connection.execute(_requests(id))]
    story["reruns"] = [dict(r._mapping) for r in connection.execute(_reruns(id))]
    story["steps"] = [_shown(row, attempts[row.step], counts) for row in rows]
    return story


def _counts(connection: Connection, id: str) -> defaultdict[int, Counter[str]]:
    """Return how many children of each step, by its index, are in each state."""
    found: defaultdict[int, Counter[str]] = defaultdict(Counter)
    wanted = select(step.c.idx, step.c.state, func.count()).where(step.c.run_id == id, _IS_CHILD)
    for idx, state, count in connection.execute(wanted.group_by(step.c.idx, step.c.state)):
        found[idx][state] = count
    return found


def _children(connection: Connection, id: str, child: str | None, *, every: bool) -> Sequence[Any]:
    wanted = _STEPS.where(step.c.run_id == id, _IS_CHILD)
    if every:
        return connection.execute(wanted).all()
    telling = wanted.where(step.c.state.in_(_TELLING)).order_by(step.c.finished_at, step.c.key)
    found = [*connection.execute(telling.limit(MOST_CHILDREN)).all()]
    if child is not None and all(row.step != child for row in found):
        found += connection.execute(wanted.where(step.c.key == child)).all()
    return found


def _attempts(
    connection: Connection, id: str, children: list[str] | None
) -> defaultdict[str, list[dict[str, Any]]]:
    attempts: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    wanted = _ATTEMPTS.where(attempt.c.run_id == id).order_by(attempt.c.step, attempt.c.no)
    if children is None:
        wanted = wanted.where(~attempt.c.step.contains("[", autoescape=True))
    elif len(children) <= MOST_CHILDREN + 1:
        of_child = attempt.c.step.contains("[", autoescape=True)
        wanted = wanted.where(or_(~of_child, attempt.c.step.in_(children)))
    for found in connection.execute(wanted):
        one = dict(found._mapping)
        attempts[one.pop("step")].append(one)
    return attempts


def _shown(
    row: Row[Any], attempts: list[dict[str, Any]], counts: Mapping[int, Counter[str]]
) -> dict[str, Any]:
    shown = dict(row._mapping)
    idx, items = shown.pop("idx"), shown.pop("items")
    if shown["progress"] is None:
        del shown["progress"]
    if items is not None:
        shown |= {"items": items, "children": dict(counts.get(idx, {}))}
    return {**shown, "attempts": attempts}


def _requests(id: str) -> Select[Any]:
    """What people asked of the run, newest first: by whom, why, and what became of it."""
    wanted = select(
        inbox.c.kind, inbox.c.actor, inbox.c.body, inbox.c.created_at, inbox.c.applied_at,
        inbox.c.result,
    ).where(inbox.c.run == id, inbox.c.kind.not_in(("completion", "run")))  # fmt: skip
    return wanted.order_by(inbox.c.id.desc()).limit(_REQUESTS_SHOWN)


def _reruns(id: str) -> Select[Any]:
    """The runs that did this one again, newest first."""
    again = select(run.c.id, run.c.state, run.c.actor, run.c.created_at)
    again = again.where(run.c.rerun_of == id, RUN_AGAIN)
    return again.order_by(run.c.created_at.desc(), run.c.id.desc()).limit(_REQUESTS_SHOWN)


def _request(row: Row[Any]) -> dict[str, Any]:
    body = row.body
    return {
        "kind": row.kind,
        "actor": row.actor,
        "reason": body.get("reason"),
        "steps": body.get("steps") or [],
        "state": body.get("state"),
        "force": bool(body.get("force")),
        "asked_at": row.created_at,
        "applied_at": row.applied_at,
        "result": row.result,
    }


def brief_steps(connection: Connection, id: str) -> dict[str, dict[str, Any]]:
    """Return `{step: {state, attempts, reason, outputs}}` in the plan's order, without children."""
    wanted = select(step.c.key, step.c.state, step.c.attempts, step.c.reason, step.c.outputs)
    own = wanted.where(step.c.run_id == clean_text(id), ~_IS_CHILD)
    rows = connection.execute(own.order_by(step.c.idx))
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
        "paused": row.paused,
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
        "paused": None,
        "requests": [],
        "reruns": [],
        "steps": [],
    }
