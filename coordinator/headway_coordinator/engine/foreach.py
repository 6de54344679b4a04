"""A step that runs once for each item: its children are made a few at a time, and end it.

Only as many children have rows as may soon get attempts: a list of ten thousand items costs the
run no more at a time than one of five hundred.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

from headway.plan.children import child_index, child_key, parent_of
from headway.plan.model import Foreach
from headway_coordinator.engine.byhand import by_hand, is_asked_for, stop
from headway_coordinator.engine.draft import Draft
from headway_coordinator.engine.events import Expanded
from headway_coordinator.engine.model import Outputs, Step
from headway_coordinator.engine.states import RunStatus, StepStatus

WINDOW = 500  # children of a step that have not ended
MAX_OUTPUTS_BYTES = 1_000_000  # of all children together, as JSON
NOT_COLLECTED = "outputs_not_collected"
_NAMED = 5

# The reason of a step whose other items are stopped since enough have succeeded, and of those.
ENOUGH = "enough_succeeded"

# The reason of a running `finally` step that was asked to stop: the run's own state cannot say it.
STOP_ASKED = "cancelling"


def expand(draft: Draft, event: Expanded) -> str | None:
    """Begin with the first items."""
    step = draft.steps.get(event.step)
    if step is None or step.status is not StepStatus.READY or step.key not in draft.plan.by_key:
        return "the step is not ready"
    foreach = draft.plan.by_key[step.key].foreach
    if foreach is None:
        return "the step has no items"
    if step.items is not None and step.items != event.items:
        _begin_anew(draft, step, len(event.items))
    # Its attempts are the times that it was begun: it has none of its own.
    draft.move(step, StepStatus.RUNNING, items=event.items, attempts=step.attempts + 1)
    tend(draft, draft.steps[step.key], foreach)
    return None


def tend(draft: Draft, step: Step, foreach: Foreach) -> None:
    """Start children as far as there is room for more, or end the step when all have ended."""
    items = len(step.items or ())
    if _has_enough(draft, step, foreach):
        step = _stop_the_others(draft, step)
    is_stopping = stopping(draft, step)
    is_held = is_stopping or draft.run.status is RunStatus.PAUSED
    if not is_held and draft.state.children[step.key].bad <= foreach.tolerated(items):
        _start_children(draft, step, foreach)
    children = draft.state.children[step.key]
    if children.open or by_hand(draft, step, lambda: collected(draft, step)):
        return
    cancelled = draft.run.status is RunStatus.CANCELLING and not draft.plan.of(step.key).final
    if step.reason == ENOUGH and not cancelled:
        draft.end(step, StepStatus.SUCCEEDED, **collected(draft, step))
    elif is_stopping:
        draft.end(step, StepStatus.CANCELLED, reason="cancelled")
    elif children.bad > foreach.tolerated(items):
        message = f"{children.bad} of {items} items failed: {_failed(draft, step)}"
        error = {"code": "foreach_failed", "message": message}
        draft.end(step, StepStatus.FAILED, reason="foreach_failed", error=error)
    elif next(_waiting(draft, step), None) is None:  # some wait only while the run is paused
        draft.end(step, StepStatus.SUCCEEDED, **collected(draft, step))


def stopping(draft: Draft, step: Step) -> bool:
    """Say whether the step must not be tried again, or go on, because it is being stopped."""
    parent = draft.steps[parent_of(step.key)]
    if is_asked_for(parent) or parent.reason == ENOUGH:
        return True
    if draft.run.status is not RunStatus.CANCELLING:
        return False
    return step.reason == STOP_ASKED or not draft.plan.of(step.key).final


def _has_enough(draft: Draft, step: Step, foreach: Foreach) -> bool:
    """Say whether so many items have succeeded that the others need not be done."""
    enough = foreach.sufficient(len(step.items or ()))
    if enough is None or stopping(draft, step):
        return False
    return draft.state.children[step.key].ok >= enough


def _stop_the_others(draft: Draft, step: Step) -> Step:
    """End what waits, ask what runs to stop, and return the step, which says why."""
    draft.move(step, StepStatus.RUNNING, reason=ENOUGH)
    live = []
    for child in [*draft.state.children_of(step.key)]:
        if child.live is not None:
            live.append(child.live.id)
        elif not child.terminal:
            draft.end(child, StepStatus.CANCELLED, reason=ENOUGH)
    stop(draft, live, ENOUGH)
    return draft.steps[step.key]


def why_stopped(draft: Draft, step: Step) -> str | None:
    """Return why an item was stopped, if that is its step's doing: the worker knows of no cause."""
    return ENOUGH if draft.steps[parent_of(step.key)].reason == ENOUGH else None


def _start_children(draft: Draft, step: Step, foreach: Foreach) -> None:
    children = draft.state.children[step.key]
    room = min(foreach.max_parallel or WINDOW, WINDOW) - children.open
    if foreach.max_parallel is None and children.open > WINDOW // 2:
        return  # many at a time cost less than one by one
    for key in _waiting(draft, step):
        if room <= 0:
            return
        room -= 1
        child = draft.steps.get(key)
        if child is None:
            draft.make_child(key)
        else:
            draft.make_ready(child)


def _waiting(draft: Draft, step: Step) -> Iterator[str]:
    """Yield the keys of the children that wait for their turn, in order."""
    for index in range(draft.state.children[step.key].next, len(step.items or ())):
        key = child_key(step.key, index)
        child = draft.steps.get(key)
        if child is None or child.status is StepStatus.PENDING:
            yield key


def _begin_anew(draft: Draft, step: Step, items: int) -> None:
    """Forget what the children of another list have done; those beyond the new one are skipped."""
    for index in count():  # also those beyond the old list, which was perhaps not the first
        child = draft.steps.get(child_key(step.key, index))
        if child is None:
            return
        if index < items:
            draft.reopen(child)
        elif child.status is not StepStatus.SKIPPED:
            draft.reopen(child)
            draft.end(draft.steps[child.key], StepStatus.SKIPPED, reason="no_item")


def collected(draft: Draft, step: Step) -> dict[str, Any]:
    """Return the fields of what the items have to show together; one that has nothing gives {}."""
    keys = [child_key(step.key, index) for index in range(len(step.items or ()))]
    children = [draft.steps.get(key) or Step(key) for key in keys]
    outputs: Outputs = tuple(
        child.outputs if isinstance(child.outputs, dict) else {} for child in children
    )
    error = None
    size = len(json.dumps(outputs, separators=(",", ":"))) if outputs else 0
    if size > MAX_OUTPUTS_BYTES:
        message = f"the outputs of all items are {size:,} bytes, more than {MAX_OUTPUTS_BYTES:,}"
        outputs, error = (), {"code": NOT_COLLECTED, "message": message}
    artifacts = tuple(artifact for child in children for artifact in _artifacts(child))
    return {"outputs": outputs, "artifacts": artifacts, "error": error}


def _artifacts(child: Step) -> Iterator[dict[str, object]]:
    """Yield the child's artifacts below a folder of the item's number: names may be the same."""
    for artifact in child.artifacts:
        yield {**artifact, "path": f"{child_index(child.key)}/{artifact['path']}"}


def _failed(draft: Draft, step: Step) -> str:
    bad = [
        child.key
        for child in draft.state.children_of(step.key)
        if child.status in (StepStatus.FAILED, StepStatus.CANCELLED)
    ]
    more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    return ", ".join(bad[:_NAMED]) + more
