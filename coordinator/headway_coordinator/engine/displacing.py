"""A step that, when it begins, puts an end to others: the first of a race, or an end of it all.

What it displaces takes the state `skipped`, as if a person had marked it so: a step that runs is
stopped first, and takes it then (see `byhand`).
"""

from __future__ import annotations

from headway.plan.model import PlanStep
from headway_coordinator.engine.byhand import MARKED, MARKING, halt, is_asked_for, stop
from headway_coordinator.engine.draft import Draft
from headway_coordinator.engine.model import Step
from headway_coordinator.engine.states import StepStatus

_BY = "by step "


def begin_step(draft: Draft, step: Step) -> None:
    """Make a step ready whose turn has come; in a paused run it stays pending, and ends nothing."""
    draft.make_ready(step)
    planned = draft.plan.by_key[step.key]
    if planned.cancels and draft.steps[step.key].status is StepStatus.READY:
        _displace(draft, planned)


def displaced(draft: Draft, step: Step) -> bool:
    """Say whether the step was put an end to by one that has succeeded: it is not needed."""
    by = (step.reason or "").removeprefix(f"{MARKED}{_BY}")
    other = draft.plan.by_key.get(by)  # a person may have such a name, and cancels no step
    if other is None or step.key not in other.cancels:
        return False
    return draft.steps[by].status is StepStatus.SUCCEEDED


def _displace(draft: Draft, planned: PlanStep) -> None:
    words = f"{_BY}{planned.key}"
    live = []
    for key in planned.cancels:
        step = draft.steps[key]
        if step.terminal or is_asked_for(step):
            continue
        if step.status is StepStatus.RUNNING:
            live += halt(draft, step)
            reason = f"{MARKING}{StepStatus.SKIPPED} {words}"
            draft.move(step, StepStatus.RUNNING, reason=reason, outputs={}, due_at=None)
        else:
            draft.mark(step, StepStatus.SKIPPED, f"{MARKED}{words}", {})
    stop(draft, live, "displaced")
