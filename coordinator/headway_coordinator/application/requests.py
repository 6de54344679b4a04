"""Inbox rows as events: what people and workers asked through the API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from headway.protocol.messages import Completion
from headway_coordinator.application.batch import Incoming
from headway_coordinator.application.ports import InboxEntry, InboxKind
from headway_coordinator.engine.events import (
    CancelRequested,
    ClearRequested,
    Finished,
    MarkRequested,
    PauseRequested,
    ResumeRequested,
    RetryRequested,
)
from headway_coordinator.engine.model import Run
from headway_coordinator.engine.recovery import Asked
from headway_coordinator.engine.states import RunStatus, StepStatus


def incoming_of(entry: InboxEntry) -> Incoming | None:
    """Return the entry as an event for its run; None if its body makes no sense."""
    match entry.kind:
        case "cancel":
            return Incoming(entry.run, _cancel(entry), entry.actor, entry.id)
        case "retry":
            again = RetryRequested(entry.actor, entry.body.get("reason"))
            return Incoming(entry.run, again, entry.actor, entry.id)
        case "clear" | "mark" | "pause" | "resume":
            wish = recovery_event(entry.kind, entry.actor, entry.body)
            if wish is None:
                return None
            return Incoming(entry.run, wish, entry.actor, entry.id)
        case "completion":
            try:
                # The row holds JSON as Python's values: times and outcomes are text in it.
                completion = Completion.model_validate(entry.body, strict=False)
            except ValidationError:
                return None
            return Incoming(
                entry.run, finished(completion), inbox=entry.id, worker=completion.worker
            )
        case _:
            return None


def _cancel(entry: InboxEntry) -> CancelRequested:
    body = entry.body
    grace = body.get("grace_s")
    spared = None if grace is None else timedelta(seconds=grace)
    return CancelRequested(entry.actor, body.get("reason"), bool(body.get("force")), spared)


def recovery_event(kind: InboxKind, actor: str, body: Mapping[str, Any]) -> Asked | None:
    """Return what people asked of a run's steps as an event; None if the body makes no sense."""
    reason = body.get("reason")
    try:
        match kind:
            case "clear":
                steps, force = tuple(body["steps"]), bool(body.get("force"))
                return ClearRequested(actor, steps, not body.get("only"), force, reason)
            case "mark":
                steps, force = tuple(body["steps"]), bool(body.get("force"))
                status, outputs = StepStatus(body["state"]), dict(body.get("outputs") or {})
                return MarkRequested(actor, steps, status, outputs, force, reason)
            case "pause":
                return PauseRequested(actor, reason)
            case "resume":
                return ResumeRequested(actor, reason)
            case _:
                return None
    except (KeyError, TypeError, ValueError):
        return None


def finished(completion: Completion) -> Finished:
    """Return what a worker reported as the engine's event."""
    error = completion.error
    return Finished(
        attempt=completion.attempt,
        fence=completion.fence,
        outcome=str(completion.outcome),
        reason=completion.reason,
        exit_code=completion.exit_code,
        error=None if error is None else error.model_dump(exclude_none=True),
        outputs=completion.outputs,
        artifacts=tuple(a.model_dump() for a in completion.artifacts),
        started_at=completion.started_at,
        finished_at=completion.finished_at,
        log_bytes=completion.log_bytes,
    )


def requested_run(entry: InboxEntry) -> Run:
    """Return the run that the entry asks for.

    Raises:
        KeyError, ValueError: the body lacks something.
    """
    body: Mapping[str, Any] = entry.body
    return Run(
        id=entry.run,
        team=str(body["team"]),
        pipeline=str(body["pipeline"]),
        digest=str(body["digest"]),
        status=RunStatus.QUEUED,
        params=dict(body["params"]),
        actor=entry.actor,
        priority=int(body.get("priority", 0)),
        logical_date=_moment(body.get("logical_date"), entry.created_at),
        created_at=entry.created_at,
        origin=dict(body.get("origin") or {}),
    )


def _moment(value: Any, default: datetime) -> datetime:
    if value is None:
        return default
    return value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
