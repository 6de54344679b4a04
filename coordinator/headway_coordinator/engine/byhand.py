"""What a person asked for a step that runs: it is stopped first, then takes what was asked.

The wish stands in the step's `reason`, so that a new leader knows it too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from headway_coordinator.engine.draft import Draft
from headway_coordinator.engine.model import Step, StopAttempts
from headway_coordinator.engine.state import RunState
from headway_coordinator.engine.states import STEP_STARTED, RunStatus, StepStatus

CLEARING = "clearing"  # the reason of a running step that starts anew once it has been stopped
CLEARED = "cleared"  # why a step that had begun is pending again
MARKING = "marking "  # so begins that of a running step which takes a person's mark then
MARKED = "marked "  # so begins the reason of a step that a person gave its state


def by_hand(draft: Draft, step: Step, collect: Callable[[], Mapping[str, Any]]) -> bool:
    """Give a step that was stopped what a person asked for meanwhile; say if anybody did.

    `collect` returns the fields of what the step has to show if it was marked as succeeded.
    """
    if step.reason == CLEARING:
        if draft.run.status is RunStatus.CANCELLING:
            draft.end(step, StepStatus.CANCELLED, reason="cancelled")
        else:
            draft.reopen_whole(step, CLEARED)
        return True
    if is_marking(step):
        status, _, words = (step.reason or "").removeprefix(MARKING).partition(" ")
        found = collect() if status == StepStatus.SUCCEEDED else {}
        draft.mark(step, StepStatus(status), f"{MARKED}{words}", found)
        return True
    return False


def is_asked_for(step: Step) -> bool:
    """Say whether the running step is cleared or marked once it has been stopped."""
    return is_marking(step) or (step.status is StepStatus.RUNNING and step.reason == CLEARING)


def is_marking(step: Step) -> bool:
    """Say whether the running step takes a person's mark once it has been stopped."""
    return step.status is StepStatus.RUNNING and (step.reason or "").startswith(MARKING)


def stop(draft: Draft, live: Iterable[str], reason: str) -> None:
    """Ask that these attempts end."""
    if attempts := tuple(live):
        draft.ask(StopAttempts(draft.run.id, attempts, reason, running=True))


def halt(draft: Draft, step: Step) -> list[str]:
    """Return the live attempts of a running step; items without one wait again from now on."""
    draft.touched.append(step.key)
    for child in [*draft.state.children_of(step.key)]:
        if child.status in STEP_STARTED and child.live is None:
            draft.reopen(child)
    return live_attempts(draft.state, step.key)


def live_attempts(state: RunState, key: str) -> list[str]:
    """Return the step's live attempt, or those of its items."""
    held = [state.steps[key].live, *(child.live for child in state.children_of(key))]
    return [live.id for live in held if live is not None]
