"""Settling: what follows of itself once something moved, to a fixed point.

Linear in the edges touched: a step is looked at when one of its needs has ended, never else.
"""

from __future__ import annotations

from itertools import takewhile
from typing import assert_never

from headway.plan.model import PlanStep
from headway_coordinator.engine.displacing import begin_step
from headway_coordinator.engine.draft import Draft
from headway_coordinator.engine.foreach import tend
from headway_coordinator.engine.model import Decide
from headway_coordinator.engine.rules import Ruling, ruling_of
from headway_coordinator.engine.state import RunState
from headway_coordinator.engine.states import RUN_TERMINAL, RunStatus, StepStatus


def begin(draft: Draft) -> None:
    """Mark every step as to be looked at; for a run that starts or is reopened."""
    draft.touched.extend(s.key for s in draft.plan.steps)


def settle(draft: Draft) -> None:
    """Ready, skip and fail steps as their needs allow; start `finally`; end the run."""
    while True:
        while draft.touched:
            _look(draft, draft.touched.popleft())
        if not _go_on(draft):
            return


def _look(draft: Draft, key: str) -> None:
    step = draft.steps[key]
    planned = draft.plan.by_key[key]
    if planned.foreach is not None and step.status is StepStatus.RUNNING:
        tend(draft, step, planned.foreach)
        return
    if step.status is not StepStatus.PENDING or not _may_start(draft.state, planned):
        return
    ruling = ruling_of(planned, draft.state.tallies[key])
    match ruling:
        case Ruling.WAIT:
            pass
        case Ruling.RUN if planned.condition is not None:
            draft.ask(Decide(key))
        case Ruling.RUN:
            begin_step(draft, step)
        case Ruling.SKIP:
            draft.end(step, StepStatus.SKIPPED, reason="upstream")
        case Ruling.UPSTREAM_FAILED:
            draft.end(step, StepStatus.UPSTREAM_FAILED, reason="upstream")
        case _:
            assert_never(ruling)


def _go_on(draft: Draft) -> bool:
    """Start `finally` or end the run when it is time; say whether there is more to settle."""
    run = draft.run
    if run.status in RUN_TERMINAL or run.status is RunStatus.QUEUED or draft.open_main:
        return False
    if draft.open_final:
        return run.status is not RunStatus.PAUSED and _start_final(draft)
    if run.verdict is not None:
        draft.move_run(run.verdict, finished_at=draft.now)
    else:
        status, reason = verdict(draft.state)
        # A paused run with nothing left to start has come to its end, too.
        draft.move_run(status, reason=reason, finished_at=draft.now, paused=None)
    return False


def _start_final(draft: Draft) -> bool:
    """Look at the `finally` steps once, when the last main step has ended."""
    # They stand last in the plan: the main steps, perhaps thousands, are not walked again.
    finals = [*takewhile(lambda s: s.final, reversed(draft.plan.steps))][::-1]
    if any(draft.steps[s.key].status is not StepStatus.PENDING for s in finals):
        return False
    if any(isinstance(e, Decide) and draft.plan.by_key[e.step].final for e in draft.effects):
        return False
    draft.touched.extend(s.key for s in finals)
    return True


def verdict(state: RunState) -> tuple[RunStatus, str | None]:
    """Return how a run that nobody stopped ends: a pure function of its steps.

    A step that is `upstream_failed` needs no look: the one that failed stands before it.
    """
    for planned in state.plan.steps:
        step = state.steps[planned.key]
        if step.status in (StepStatus.FAILED, StepStatus.CANCELLED) and not planned.allow_failure:
            return RunStatus.FAILED, f"step {step.key} {step.status}"
    return RunStatus.SUCCEEDED, None


def blamed_step(reason: str | None) -> str | None:
    """Return the step that a reason of `verdict` names; None for any other reason."""
    words = (reason or "").split(" ")
    ends = (StepStatus.FAILED, StepStatus.CANCELLED)
    return words[1] if len(words) == 3 and words[0] == "step" and words[2] in ends else None


def outstanding(state: RunState) -> list[Decide]:
    """Return the effects that a freshly loaded run still waits for (conditions are not stored)."""
    return [Decide(s.key) for s in state.plan.steps if awaits_condition(state, s)]


def awaits_condition(state: RunState, planned: PlanStep) -> bool:
    """Say whether the step's needs let it run and only its `if` is open."""
    if planned.condition is None or state.steps[planned.key].status is not StepStatus.PENDING:
        return False
    ruling = ruling_of(planned, state.tallies[planned.key])
    return ruling is Ruling.RUN and _may_start(state, planned)


def _may_start(state: RunState, planned: PlanStep) -> bool:
    """Say whether steps of this one's part of the plan may start now."""
    status = state.run.status
    if planned.final:
        started = status in (RunStatus.RUNNING, RunStatus.CANCELLING)
        return started and state.open_main == 0
    return status is RunStatus.RUNNING
