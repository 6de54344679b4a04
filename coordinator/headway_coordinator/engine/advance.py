"""`advance`: what an event does to a run. What moves one is here, in `recovery` and `settle`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_never
from zlib import crc32

from headway.backoff import exponential, jittered
from headway.expressions.durations import format_duration
from headway.ids import attempt_id, attempted_step
from headway.plan.children import child_index, child_key
from headway.plan.model import Plan, PlanStep
from headway_coordinator.engine import recovery
from headway_coordinator.engine.byhand import by_hand
from headway_coordinator.engine.cancelling import cancel
from headway_coordinator.engine.displacing import begin_step
from headway_coordinator.engine.draft import Draft
from headway_coordinator.engine.events import (
    Admitted,
    CancelRequested,
    ClearRequested,
    Decided,
    Deferred,
    Due,
    Event,
    Expanded,
    Finished,
    MarkRequested,
    Opened,
    PauseRequested,
    Refused,
    Released,
    ResumeRequested,
    RetryRequested,
    Unresolvable,
    Withdrawn,
)
from headway_coordinator.engine.foreach import expand, stopping, why_stopped
from headway_coordinator.engine.model import (
    AttemptEnded,
    AttemptMade,
    Decision,
    Live,
    Run,
    Step,
    StopAttempts,
)
from headway_coordinator.engine.settle import awaits_condition, begin, settle
from headway_coordinator.engine.state import RunState
from headway_coordinator.engine.states import (
    RunStatus,
    StepStatus,
)

LOSS_LIMIT = 3  # attempts lost to the infrastructure, before their step fails with `infra_lost`

# Codes of failures that stay until a person does something: a retry would only fail again.
NOT_RETRIED = frozenset({"secret_missing", "secret_unreadable"})


def create(plan: Plan, run: Run, now: datetime) -> tuple[RunState, Decision]:
    """Return the new run's state before its first move, and the decision that starts it.

    A run of a group stays queued until it is `Opened`.
    """
    state = RunState.of(plan, run, ())
    draft = Draft(state, now)
    draft.create()
    if run.group is None:
        _start(draft)
        settle(draft)
    return state, draft.decision()


def _start(draft: Draft) -> None:
    timeout = draft.plan.timeout
    deadline = draft.now + timeout if timeout else None
    started = draft.run.started_at or draft.now
    draft.move_run(RunStatus.RUNNING, started_at=started, deadline_at=deadline)
    begin(draft)


def advance(state: RunState, event: Event, now: datetime) -> Decision:
    """Return what `event` does to the run at `now`.

    `state` is not touched: the decision's changes go through `apply`.

    Raises:
        DefectError: the event would make an illegal move.
    """
    draft = Draft(state, now)
    match event:
        case Finished():
            ignored = _finished(draft, event)
        case Withdrawn():
            ignored = _withdrawn(draft, event)
        case Decided():
            ignored = _decided(draft, event)
        case Unresolvable():
            ignored = _unresolvable(draft, event)
        case Admitted():
            ignored = _admitted(draft, event)
        case Expanded():
            ignored = expand(draft, event)
        case Deferred():
            ignored = _deferred(draft, event)
        case Released():
            ignored = _released(draft, event)
        case Due():
            ignored = _due(draft, event)
        case CancelRequested():
            reason = event.reason or f"by {event.actor}"
            ignored = cancel(
                draft, RunStatus.CANCELLED, reason, force=event.force, grace=event.grace
            )
        case Opened():
            ignored = _opened(draft)
        case Refused():
            ignored = cancel(draft, RunStatus.FAILED, event.message)
        case RetryRequested():
            ignored = recovery.retry(draft)
        case ClearRequested() | MarkRequested() | PauseRequested() | ResumeRequested():
            ignored = recovery.take(draft, event)
        case _:
            assert_never(event)
    if ignored is not None:
        return Decision(ignored=ignored)
    settle(draft)
    return draft.decision()


# --- attempts ------------------------------------------------------------------------------------


def _admitted(draft: Draft, event: Admitted) -> str | None:
    step = draft.steps.get(event.step)
    if step is None or step.status is not StepStatus.READY:
        return "the step is not ready"
    no = step.attempts + 1
    planned = draft.plan.of(step.key)
    run = draft.run
    id = attempt_id(run.id, planned.index, no, child_index(step.key))
    live = Live(id, no, no, event.queue)
    draft.move(step, StepStatus.RUNNING, attempts=no, live=live, due_at=step.due_at)
    draft.add(
        AttemptMade(
            live.id,
            run.id,
            step.key,
            no,
            live.fence,
            run.team,
            event.queue,
            {**event.work, "no": no},
        )
    )
    return None


def _finished(draft: Draft, event: Finished) -> str | None:
    found = _live(draft, event.attempt, event.fence)
    if found is None:
        return "stale: the attempt is not live"
    step, planned = found
    draft.add(
        AttemptEnded(
            event.attempt,
            draft.run.id,
            event.fence,
            event.outcome,
            event.reason,
            event.exit_code,
            event.error,
            event.started_at,
            event.finished_at,
            event.log_bytes,
            event.expired,
        )
    )
    if by_hand(draft, step, lambda: {"outputs": step.outputs}):
        return None
    match event.outcome:
        case "succeeded":
            draft.end(step, StepStatus.SUCCEEDED, outputs=event.outputs, artifacts=event.artifacts)
        case "failed" | "timed_out":
            _failed(draft, step, planned, event)
        case "lost":
            _lost(draft, step, event)
        case _:
            reason = why_stopped(draft, step) or event.reason or "cancelled"
            draft.end(step, StepStatus.CANCELLED, reason=reason)
    return None


def _failed(draft: Draft, step: Step, planned: PlanStep, event: Finished) -> None:
    failures = step.failures + 1
    code = (event.error or {}).get("code")
    reason = "timed_out" if event.outcome == "timed_out" else event.reason or code or "failed"
    if code in NOT_RETRIED:
        draft.end(step, StepStatus.FAILED, reason=reason, error=event.error, failures=failures)
        return
    if failures > planned.retry.max or stopping(draft, step):
        draft.end(step, StepStatus.FAILED, reason=reason, error=event.error, failures=failures)
        return
    due = draft.now + _delay(planned, failures, event.attempt)
    draft.move(
        step,
        StepStatus.RETRY_WAIT,
        live=None,
        failures=failures,
        reason=reason,
        error=event.error,
        due_at=due,
    )


def _delay(planned: PlanStep, failures: int, attempt: str) -> timedelta:
    retry = planned.retry
    delay = min(retry.delay, retry.cap)
    if retry.backoff == "exponential":
        delay = exponential(failures, base=retry.delay, cap=retry.cap)
    # The spread is derived from the attempt's id: the same decision made twice is the same.
    return jittered(delay, crc32(attempt.encode()) / 2**32) if retry.jitter else delay


def _lost(draft: Draft, step: Step, event: Finished) -> None:
    losses = step.losses + 1
    error = event.error or {"code": "infra_lost", "message": event.reason or "the worker was lost"}
    if stopping(draft, step):
        draft.end(step, StepStatus.CANCELLED, reason="infra_lost", losses=losses)
    elif losses > LOSS_LIMIT:
        draft.end(step, StepStatus.FAILED, reason="infra_lost", error=error, losses=losses)
    else:
        draft.make_ready(step, live=None, losses=losses, reason="infra_lost")


def _withdrawn(draft: Draft, event: Withdrawn) -> str | None:
    found = _live(draft, event.attempt, event.fence)
    if found is None:
        return "stale: the attempt is not live"
    step, _ = found
    if by_hand(draft, step, lambda: {"outputs": step.outputs}):
        return None
    if event.reason == "queue_timeout":
        _queue_timed_out(draft, step)
    else:
        draft.end(step, StepStatus.CANCELLED, reason=event.reason)
    return None


def _live(draft: Draft, attempt: str, fence: int) -> tuple[Step, PlanStep] | None:
    """Return the step whose live attempt this is; the index stands in the attempt's id."""
    try:
        index, child = attempted_step(attempt)
        planned = draft.plan.steps[index]
    except (IndexError, ValueError):
        return None
    step = draft.steps.get(planned.key if child is None else child_key(planned.key, child))
    if step is None or step.live is None or step.live.id != attempt or step.live.fence != fence:
        return None
    return step, planned


# --- answers to effects -------------------------------------------------------------------------


def _decided(draft: Draft, event: Decided) -> str | None:
    planned = draft.plan.by_key.get(event.step)
    if planned is None or not awaits_condition(draft.state, planned):
        return "the step does not wait for its condition"
    step = draft.steps[planned.key]
    if event.value:
        begin_step(draft, step)
    else:
        draft.end(step, StepStatus.SKIPPED, reason="condition")
    return None


def _unresolvable(draft: Draft, event: Unresolvable) -> str | None:
    step = draft.steps.get(event.step)
    if step is None:
        return "there is no such step"
    waits = event.step in draft.plan.by_key and awaits_condition(
        draft.state, draft.plan.by_key[event.step]
    )
    if step.status is not StepStatus.READY and not waits:
        return "the step waits for no expression"
    error = {"code": "expression_error", "message": event.message}
    draft.end(step, StepStatus.FAILED, reason="expression_error", error=error)
    return None


def _deferred(draft: Draft, event: Deferred) -> str | None:
    step = draft.steps.get(event.step)
    if step is None or step.status is not StepStatus.READY:
        return "the step is not ready"
    draft.move(step, StepStatus.DEFERRED, due_at=event.until, progress=event.progress)
    return None


def _released(draft: Draft, event: Released) -> str | None:
    step = draft.steps.get(event.step)
    if step is None or step.status not in (StepStatus.DEFERRED, StepStatus.AWAITING_APPROVAL):
        return "the step waits for nothing outside"
    outputs = event.outputs if event.status is StepStatus.SUCCEEDED else {}
    draft.end(step, event.status, outputs=outputs, reason=event.reason, error=event.error)
    return None


# --- time --------------------------------------------------------------------------------------


def _due(draft: Draft, event: Due) -> str | None:
    if event.step is None:
        if draft.run.deadline_at is None or draft.now < draft.run.deadline_at:
            return "the run's deadline has not come"
        return cancel(draft, RunStatus.TIMED_OUT, "timeout")
    step = draft.steps.get(event.step)
    if step is None or step.due_at is None or draft.now < step.due_at:
        return "nothing is due"
    match step.status:
        case StepStatus.RETRY_WAIT:
            draft.make_ready(step, reason=None)
        case StepStatus.DEFERRED:
            draft.end(step, StepStatus.SUCCEEDED)
        case StepStatus.READY:
            _queue_timed_out(draft, step)
        case StepStatus.RUNNING if step.live is not None:
            # Claimed or not: only the row can say, so it is asked. Once is enough.
            draft.move(step, StepStatus.RUNNING, due_at=None)
            draft.ask(StopAttempts(draft.run.id, (step.live.id,), "queue_timeout", running=False))
        case _:
            return "nothing is due"
    return None


def _queue_timed_out(draft: Draft, step: Step) -> None:
    limit = draft.plan.of(step.key).queue_timeout
    error = {
        "code": "queue_timeout",
        "message": f"no worker took the step within {format_duration(limit or timedelta())}",
    }
    draft.end(step, StepStatus.FAILED, reason="queue_timeout", error=error)


# --- people --------------------------------------------------------------------------------------


def _opened(draft: Draft) -> str | None:
    if draft.run.status is not RunStatus.QUEUED:
        return f"the run is {draft.run.status}, not queued"
    _start(draft)
    return None
