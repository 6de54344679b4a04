"""What must hold of every run's state; `check` names what does not."""

from __future__ import annotations

from collections.abc import Iterator

from headway.plan.children import child_index, parent_of
from headway.plan.model import PlanStep
from headway_coordinator.engine.advance import LOSS_LIMIT
from headway_coordinator.engine.byhand import CLEARING, is_asked_for, is_marking
from headway_coordinator.engine.foreach import WINDOW
from headway_coordinator.engine.model import Step, Tally
from headway_coordinator.engine.rules import Ruling, ruling_of
from headway_coordinator.engine.settle import verdict
from headway_coordinator.engine.state import RunState, tally_field
from headway_coordinator.engine.states import (
    RUN_TERMINAL,
    STEP_STARTED,
    RunStatus,
    StepStatus,
)


def check(state: RunState) -> list[str]:
    """Return one sentence for each violated invariant; empty when all is well."""
    return [
        *_check_run(state),
        *_check_derived(state),
        *(problem for step in state.steps.values() for problem in _check_step(state, step)),
        *(problem for key in state.children for problem in _check_children(state, key)),
    ]


def _check_run(state: RunState) -> Iterator[str]:
    run = state.run
    unfinished = [s.key for s in state.steps.values() if not s.terminal]
    if run.status in RUN_TERMINAL and unfinished:
        yield f"the run is {run.status} but {unfinished[0]} has not ended"
    if run.status in RUN_TERMINAL and run.finished_at is None:
        yield f"the run is {run.status} without an end time"
    if run.status not in RUN_TERMINAL and not unfinished:
        yield f"all steps have ended but the run is {run.status}"
    if (run.paused is not None) != (run.status is RunStatus.PAUSED):
        yield f"the run is {run.status}, paused by {run.paused}"
    ready = [s.key for s in state.steps.values() if s.status is StepStatus.READY]
    if run.status is RunStatus.PAUSED and ready:
        yield f"the run is paused but {ready[0]} may be admitted"
    stopped = run.status in (RunStatus.CANCELLING, RunStatus.CANCELLED, RunStatus.TIMED_OUT)
    refused = run.status is RunStatus.FAILED and run.verdict is RunStatus.FAILED
    if (run.verdict is not None) != (stopped or refused):
        yield f"the run is {run.status} with verdict {run.verdict}"
    if run.status is RunStatus.QUEUED and run.group is None:
        yield "the run is queued with nothing to wait for"
    if run.status is RunStatus.QUEUED and any(
        s.status in STEP_STARTED for s in state.steps.values()
    ):
        yield "the run is queued but a step of it has started"
    if run.status in (RunStatus.CANCELLED, RunStatus.TIMED_OUT) and run.status is not run.verdict:
        yield f"the run is {run.status} but its verdict was {run.verdict}"
    if run.status in (RunStatus.SUCCEEDED, RunStatus.FAILED) and run.status != verdict(state)[0]:
        yield f"the run is {run.status} but its steps say {verdict(state)[0]}"


def _check_derived(state: RunState) -> Iterator[str]:
    open_main = open_final = 0
    tallies = {planned.key: [0, 0, 0, 0] for planned in state.plan.steps}
    for planned in state.plan.steps:
        step = state.steps[planned.key]
        if not step.terminal:
            open_main += not planned.final
            open_final += planned.final
            continue
        field = Tally._fields.index(tally_field(planned, step.status))
        for dependent in state.plan.dependents.get(step.key, ()):
            tallies[dependent][field] += 1
    if (open_main, open_final) != (state.open_main, state.open_final):
        yield "the counts of open steps are wrong"
    for key, counted in tallies.items():
        if tuple(counted) != tuple(state.tallies[key]):
            yield f"the tally of {key} is wrong"


def _check_step(state: RunState, step: Step) -> Iterator[str]:
    planned = state.plan.of(step.key)
    is_parent = step.key in state.children
    runs = step.status is StepStatus.RUNNING and not is_parent
    if (step.live is not None) != runs:
        yield f"{step.key} is {step.status} with live attempt {step.live}"
    if step.live is not None and step.live.no != step.attempts:
        yield f"{step.key}: the live attempt is not the newest"
    told = step.status is StepStatus.DEFERRED and step.progress is not None
    timed = step.status in (StepStatus.RETRY_WAIT, StepStatus.DEFERRED)
    if timed and step.due_at is None and not told:
        yield f"{step.key} is {step.status} with no end in sight"
    if step.terminal and step.finished_at is None:
        yield f"{step.key} has ended without an end time"
    if step.failures > planned.retry.max + 1:
        yield f"{step.key} failed {step.failures} times with {planned.retry.max} retries"
    if step.losses > LOSS_LIMIT + 1:
        yield f"{step.key} was lost {step.losses} times, more than {LOSS_LIMIT} is too often"
    if step.failures + step.losses > step.attempts:
        yield f"{step.key} failed more often than it was tried"
    if step.outputs and step.status is not StepStatus.SUCCEEDED and not is_marking(step):
        yield f"{step.key} is {step.status} with outputs"
    if planned.final and step.status in STEP_STARTED and state.open_main:
        yield f"{step.key} of finally started before the main steps had ended"
    ruling = ruling_of(planned, state.tallies[planned.key])
    is_clearing = state.steps[planned.key].reason == CLEARING
    if step.status in STEP_STARTED and ruling is not Ruling.RUN and not is_clearing:
        yield f"{step.key} is {step.status} but its needs say {ruling.value}"
    if step.key == planned.key and _overlooked(state, step, ruling):
        yield f"{step.key} is pending although its needs say {ruling.value}"


def _overlooked(state: RunState, step: Step, ruling: Ruling) -> bool:
    """Say whether a settled state left a step behind that could have moved."""
    planned = state.plan.of(step.key)
    if step.status is not StepStatus.PENDING or ruling is Ruling.WAIT:
        return False
    if ruling is Ruling.RUN and planned.condition is not None:
        return False
    if planned.final:
        started = state.run.status in (RunStatus.RUNNING, RunStatus.CANCELLING)
        return started and state.open_main == 0
    return state.run.status is RunStatus.RUNNING


def _check_children(state: RunState, key: str) -> Iterator[str]:
    parent, planned = state.steps[key], state.plan.by_key[key]
    made = [step for step in state.steps.values() if step.key != key and parent_of(step.key) == key]
    counted = state.children[key]
    if parent.status is StepStatus.RUNNING and parent.items is None:
        yield f"{key} is running without its items"
    open_ = sum(not s.terminal and s.status is not StepStatus.PENDING for s in made)
    ok = sum(step.status is StepStatus.SUCCEEDED for step in made)
    bad = sum(step.terminal and step.status not in _GOOD for step in made)
    if (open_, ok, bad) != (counted.open, counted.ok, counted.bad):
        yield f"the counts of the children of {key} are wrong"
    most = _most_open(planned)
    if open_ > most:
        yield f"{key} has {open_} open children, more than {most}"
    if open_ and parent.status is not StepStatus.RUNNING:
        yield f"{key} is {parent.status} with open children"
    if parent.status is StepStatus.RUNNING and not open_ and not _is_held(state, key):
        yield f"{key} is running with no open child"
    if is_asked_for(parent) and any(s.status in STEP_STARTED and s.live is None for s in made):
        yield f"{key} is {parent.reason} but a child of it may be started"
    for child in made:
        yield from _check_child(state, parent, child)


def _is_held(state: RunState, key: str) -> bool:
    """Say whether items wait only because the run is paused."""
    parent, planned = state.steps[key], state.plan.by_key[key]
    children, items = state.children[key], len(parent.items or ())
    tolerated = 0 if planned.foreach is None else planned.foreach.tolerated(items)
    waits = children.next < items and children.bad <= tolerated
    return state.run.status is RunStatus.PAUSED and waits and not is_asked_for(parent)


def _check_child(state: RunState, parent: Step, child: Step) -> Iterator[str]:
    index = child_index(child.key) or 0
    first = state.children[parent.key].next
    beyond = index >= len(parent.items or ())
    if beyond and child.status is not StepStatus.SKIPPED:
        yield f"{child.key} is {child.status} and has no item"
    if not beyond and child.status is StepStatus.SKIPPED:
        yield f"{child.key} was skipped and has an item"
    if child.status is StepStatus.PENDING and index < first and not beyond:
        yield f"{child.key} waits before {first}, where it would be overlooked"
    if parent.terminal and child.status is StepStatus.PENDING:
        yield f"{child.key} waits although {parent.key} has ended"


def _most_open(planned: PlanStep) -> int:
    limit = None if planned.foreach is None else planned.foreach.max_parallel
    return min(limit or WINDOW, WINDOW)


_GOOD = frozenset({StepStatus.SUCCEEDED, StepStatus.SKIPPED})
