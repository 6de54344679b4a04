"""Why a step is not running, as data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headway.clock import rfc3339
from headway.plan.children import parent_of
from headway_coordinator.engine.model import Run, Step
from headway_coordinator.engine.state import RunState
from headway_coordinator.engine.states import RUN_TERMINAL, RunStatus, StepStatus


@dataclass(frozen=True, slots=True)
class Blocker:
    """One reason: a stable code, since when, what holds it, and a sentence for people."""

    code: str
    since: datetime | None
    subject: str | None
    message: str


def explain(state: RunState, key: str) -> list[Blocker]:
    """Return what keeps the step from running, the nearest cause first.

    Empty for steps that run, have ended, or are ready: what a ready step waits for is admission's
    to say.
    """
    step = state.steps[key]
    run = state.run
    if run.status in RUN_TERMINAL or step.terminal:
        return []
    match step.status:
        case StepStatus.PENDING:
            if run.status is RunStatus.QUEUED:
                message = "the run waits for its turn among the pipeline's runs"
                return [Blocker("limit", run.created_at, run.group, message)]
            if run.status is RunStatus.PAUSED:
                return [_paused(run)]
            if key not in state.plan.by_key:
                return _among_items(state, parent_of(key))
            return _upstream(state, step) or [_condition(state, step)]
        case StepStatus.RETRY_WAIT if step.due_at is not None:
            when = rfc3339(step.due_at)
            message = f"attempt {step.attempts} ended as {step.reason}; the next starts at {when}"
            return [Blocker("retry_at", step.due_at, key, message)]
        case StepStatus.DEFERRED if step.due_at is not None:
            message = f"the step waits until {rfc3339(step.due_at)}"
            return [Blocker("retry_at", step.due_at, key, message)]
        case StepStatus.AWAITING_APPROVAL:
            return [Blocker("approval", step.ready_at, key, "waits for an approval")]
        case _:
            return []


def _paused(run: Run) -> Blocker:
    held = run.paused
    if held is None:
        return Blocker("paused", None, run.id, "the run is paused")
    because = f": {held.reason}" if held.reason else ""
    return Blocker("paused", held.at, run.id, f"the run is paused by {held.by}{because}")


def _among_items(state: RunState, parent: str) -> list[Blocker]:
    """A child waits as its parent does, or for its turn among the other items."""
    since = state.steps[parent].ready_at
    turn = Blocker("limit", since, parent, f"waits for its turn among the items of {parent}")
    return explain(state, parent) or [turn]


def _upstream(state: RunState, step: Step) -> list[Blocker]:
    planned = state.plan.by_key[step.key]
    waits_for = [k for k in planned.needs if not state.steps[k].terminal]
    if planned.final and state.open_main:
        main = (s.key for s in state.plan.steps if not s.final)
        waits_for = [key for key in main if not state.steps[key].terminal]
    return [
        Blocker(
            "upstream",
            state.steps[k].ready_at or state.run.started_at,
            k,
            f"needs {k}, which is {state.steps[k].status}",
        )
        for k in waits_for
    ]


def _condition(state: RunState, step: Step) -> Blocker:
    condition = state.plan.by_key[step.key].condition
    message = f"`if: {condition}` is to be evaluated"
    return Blocker("condition", state.run.started_at, step.key, message)
