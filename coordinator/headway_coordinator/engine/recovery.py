"""What people ask of a run that went wrong: steps are cleared or marked, the run is held back.

Whether a request can be taken is a pure question (`refusal`), which is asked twice: when a person
asks, to be answered at once, and when the leader takes the request, since the run has moved on.

A step with a live attempt is never taken from under it. Such a request is refused, or (`force`) the
attempt is stopped first; `byhand` says what becomes of the step then. A step that runs for each
item is cleared and marked as a whole, and its live attempts are those of its items.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from headway.plan.children import parent_of
from headway_coordinator.engine.byhand import (
    CLEARED,
    CLEARING,
    MARKED,
    MARKING,
    halt,
    live_attempts,
    stop,
)
from headway_coordinator.engine.displacing import displaced
from headway_coordinator.engine.draft import Draft
from headway_coordinator.engine.events import (
    CancelRequested,
    ClearRequested,
    MarkRequested,
    PauseRequested,
    ResumeRequested,
    RetryRequested,
)
from headway_coordinator.engine.foreach import collected
from headway_coordinator.engine.model import Paused, Step
from headway_coordinator.engine.settle import begin
from headway_coordinator.engine.state import RunState
from headway_coordinator.engine.states import (
    RUN_REOPENED,
    RUN_TERMINAL,
    STEP_REOPENED,
    STEP_STARTED,
    RunStatus,
    StepStatus,
)

_NOT_RUN = frozenset({StepStatus.UPSTREAM_FAILED, StepStatus.SKIPPED, StepStatus.CANCELLED})

Asked = ClearRequested | MarkRequested | PauseRequested | ResumeRequested


def refusal(state: RunState, asked: Asked) -> str | None:
    """Return why the request cannot be taken as the run stands, or None."""
    match asked:
        case ClearRequested():
            return _unclearable(state, asked)
        case MarkRequested():
            return _unmarkable(state, asked)
        case PauseRequested():
            if state.run.status is not RunStatus.RUNNING:
                return f"only a running run can be paused; this one is {state.run.status}"
        case ResumeRequested():
            if state.run.status is not RunStatus.PAUSED:
                return f"only a paused run can be resumed; this one is {state.run.status}"
    return None


def take(draft: Draft, asked: Asked) -> str | None:
    """Do what is asked; return why not, if it cannot be done."""
    if (why := refusal(draft.state, asked)) is not None:
        return why
    match asked:
        case ClearRequested():
            _clear(draft, asked)
        case MarkRequested():
            _mark(draft, asked)
        case PauseRequested():
            _pause(draft, asked)
        case ResumeRequested():
            draft.move_run(RunStatus.RUNNING, paused=None)
            begin(draft)
    return None


# --- clearing ------------------------------------------------------------------------------------


def reach(state: RunState, names: Iterable[str], *, downstream: bool) -> list[str]:
    """Return the steps that clearing `names` clears, in the plan's order.

    A step that has not begun needs no clearing. Without `downstream` what follows and has run is
    kept; what has not run, because of how its needs ended, is decided on anew all the same. Of an
    ended run `finally` runs again as a whole once a main step does.
    """
    chosen = set(names)
    chosen |= _closure(state, chosen) if downstream else set(_not_run(state, chosen))
    by_key = state.plan.by_key
    if state.run.status in RUN_TERMINAL and any(not by_key[key].final for key in chosen):
        chosen |= {s.key for s in state.plan.steps if s.final}
    begun = (s.key for s in state.plan.steps if s.key in chosen)
    return [key for key in begun if state.steps[key].status is not StepStatus.PENDING]


def _closure(state: RunState, names: Iterable[str]) -> set[str]:
    found, todo = set(names), list(names)
    while todo:
        for key in state.plan.dependents.get(todo.pop(), ()):
            if key not in found:
                found.add(key)
                todo.append(key)
    return found


def _not_run(state: RunState, names: Iterable[str]) -> list[str]:
    """Return the steps that were left out because of these; not those that a person marked, nor
    those after whose end another step has begun."""
    todo, named = list(names), set(names)
    found: dict[str, None] = {}
    while todo:
        for key in state.plan.dependents.get(todo.pop(), ()):
            step = state.steps[key]
            by_hand = key in named or (step.reason or "").startswith(MARKED)
            kept = by_hand or _is_followed(state, key)
            if key not in found and step.status in _NOT_RUN and not kept:
                found[key] = None
                todo.append(key)
    return list(found)


def _is_followed(state: RunState, key: str) -> bool:
    followers = state.plan.dependents.get(key, ())
    return any(state.steps[follower].status in STEP_STARTED for follower in followers)


def _unclearable(state: RunState, asked: ClearRequested) -> str | None:
    if (why := _untouchable(state, asked.steps)) is not None:
        return why
    chosen = reach(state, asked.steps, downstream=asked.downstream)
    if not chosen:
        return "none of the steps has begun: there is nothing to clear"
    if not asked.force and (why := _live(state, chosen)) is not None:
        return why
    within = set(chosen)
    for key in [] if asked.downstream else chosen:
        for follower in state.plan.dependents.get(key, ()):
            if follower not in within and state.steps[follower].status in STEP_STARTED:
                return f"{follower}, which needs {key}, has started: clear what follows, too"
    return None


def _clear(draft: Draft, asked: ClearRequested) -> None:
    chosen = reach(draft.state, asked.steps, downstream=asked.downstream)
    ended = draft.run.status in RUN_TERMINAL
    if ended:
        draft.reopen_run()
    live = []
    for key in chosen:
        step = draft.steps[key]
        if step.status is StepStatus.RUNNING:
            live += halt(draft, step)
            draft.move(step, StepStatus.RUNNING, reason=CLEARING, outputs={}, due_at=None)
        else:
            draft.reopen_whole(step, CLEARED)
    stop(draft, live, CLEARING)


# --- marking -------------------------------------------------------------------------------------


def _unmarkable(state: RunState, asked: MarkRequested) -> str | None:
    if (why := _untouchable(state, asked.steps)) is not None:
        return why
    if not asked.force and (why := _live(state, asked.steps)) is not None:
        return why
    mapped = [key for key in asked.steps if key in state.children]
    if mapped and asked.outputs:
        return f"{mapped[0]} runs for each item: its outputs are theirs, and none can be given"
    final = {state.plan.by_key[key].final for key in asked.steps}
    if len(final) > 1:
        return "mark steps of `finally` by themselves"
    if True in final and state.open_main:
        return "a step of `finally` can be marked once the others have ended"
    if all(_has(state.steps[key], asked) for key in asked.steps):
        return f"nothing to do: {', '.join(asked.steps)} {asked.status} already"
    for key in asked.steps:
        for follower in state.plan.dependents.get(key, ()):
            # Whatever began because of the old state would have begun for no reason.
            started = state.steps[follower].status in STEP_STARTED
            if state.steps[key].terminal and started and follower not in asked.steps:
                return f"{follower}, which needs {key}, has started: wait until it has ended"
    return None


def _has(step: Step, asked: MarkRequested) -> bool:
    return step.status is asked.status and not asked.outputs


def _mark(draft: Draft, asked: MarkRequested) -> None:
    ended = draft.run.status in RUN_TERMINAL
    words = f"by {asked.actor}" + (f": {asked.reason}" if asked.reason else "")
    outputs = asked.outputs if asked.status is StepStatus.SUCCEEDED else {}
    live = []
    for key in asked.steps:
        step = draft.steps[key]
        if step.status is StepStatus.RUNNING:
            live += halt(draft, step)
            reason = f"{MARKING}{asked.status} {words}"
            draft.move(step, StepStatus.RUNNING, reason=reason, outputs=outputs, due_at=None)
        elif not _has(step, asked):
            draft.mark(step, asked.status, f"{MARKED}{words}", _found(draft, step, asked))
    for key in _not_run(draft.state, asked.steps):
        draft.reopen_whole(draft.steps[key])
    if ended:
        if draft.open_main:
            for planned in draft.plan.steps:
                if planned.final and draft.steps[planned.key].terminal:
                    draft.reopen_whole(draft.steps[planned.key])
        draft.reopen_run(to_do=bool(draft.open_main or draft.open_final))
    stop(draft, live, "marking")


def _found(draft: Draft, step: Step, asked: MarkRequested) -> Mapping[str, Any]:
    """Return what the step has to show: of one with items, what those have that succeeded."""
    if asked.status is not StepStatus.SUCCEEDED:
        return {}
    return (
        collected(draft, step) if step.key in draft.state.children else {"outputs": asked.outputs}
    )


# --- pausing -------------------------------------------------------------------------------------


def _pause(draft: Draft, asked: PauseRequested) -> None:
    """Hold back what has no attempt yet: it is pending again, and its time in a queue stands still.

    What runs goes on, and so do deferrals, retry waits and the run's own deadline.
    """
    draft.move_run(RunStatus.PAUSED, paused=Paused(draft.now, asked.actor, asked.reason))
    for step in [s for s in draft.steps.values() if s.status is StepStatus.READY]:
        draft.make_ready(step)


# --- what stands against it ----------------------------------------------------------------------


def _live(state: RunState, names: Iterable[str]) -> str | None:
    live = [key for key in names if live_attempts(state, key)]
    if not live:
        return None
    verb = "run" if len(live) > 1 else "runs"
    return f"{', '.join(live[:5])} {verb}: wait for the end, or let it be stopped first (force)"


def _untouchable(state: RunState, names: Iterable[str]) -> str | None:
    """Return why no step of these may be touched now."""
    unknown = [key for key in names if key not in state.plan.by_key]
    if unknown and (parent := parent_of(unknown[0])) in state.children:
        return f"{unknown[0]} is an item of {parent}, which is cleared and marked as a whole"
    if unknown:
        return f"the run has no step {unknown[0]}"
    status = state.run.status
    if status in (RunStatus.QUEUED, RunStatus.CANCELLING):
        return f"the run is {status}: its steps can be touched once it has started or ended"
    if status in RUN_TERMINAL:
        return None
    main = any(not state.plan.by_key[key].final for key in names)
    if main and any(s.final and _has_begun(state, s.key) for s in state.plan.steps):
        return "`finally` has begun: wait until the run has ended"
    return None


def _has_begun(state: RunState, key: str) -> bool:
    return state.steps[key].status is not StepStatus.PENDING


def details(asked: Any) -> dict[str, Any]:
    """Return what the audit keeps of a person's request beside its kind and actor."""
    if not isinstance(asked, CancelRequested | RetryRequested | Asked):
        return {}
    kept = {
        "steps": list(getattr(asked, "steps", ())),
        "state": str(asked.status) if isinstance(asked, MarkRequested) else None,
        "force": getattr(asked, "force", False),
        "grace_s": _seconds(getattr(asked, "grace", None)),
        "reason": getattr(asked, "reason", None),
    }
    return {name: value for name, value in kept.items() if value}


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()


def retry(draft: Draft) -> str | None:
    """Reopen an ended run: what succeeded is kept, all else starts again, `finally` as a whole.

    A run of a group takes its turn again.
    """
    run = draft.run
    if run.status not in RUN_REOPENED:
        return f"only a run that ended without success can be retried; this one is {run.status}"
    draft.reopen_run()
    for planned in draft.plan.steps:
        step = draft.steps[planned.key]
        again = planned.final or step.status is not StepStatus.SUCCEEDED
        if displaced(draft, step):
            continue
        if again and step.status in STEP_REOPENED:
            draft.reopen_children(step, done=planned.final)
            draft.reopen(step)
    if draft.run.status is RunStatus.RUNNING:
        begin(draft)
    return None
