"""Stopping a run: on a person's wish, at its deadline, or because it cannot be started at all."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from headway_coordinator.engine.byhand import is_marking
from headway_coordinator.engine.draft import Draft
from headway_coordinator.engine.foreach import STOP_ASKED
from headway_coordinator.engine.model import Step, StopAttempts
from headway_coordinator.engine.states import RUN_TERMINAL, RunStatus, StepStatus


def cancel(
    draft: Draft,
    verdict: RunStatus,
    reason: str,
    *,
    force: bool = False,
    grace: timedelta | None = None,
) -> str | None:
    """Stop the run: what waits is cancelled, what runs is asked to stop, `finally` still runs.

    Asked for during `finally`, that is stopped too. A run that has not started has nothing to
    clean up: it ends with no step of it, `finally` or not, having run. With `force` what runs is
    killed at once, and no `finally` follows, also in a run that is being cancelled already; there,
    a `grace` can only be shortened. Returns why nothing is done, if so.
    """
    run = draft.run
    if run.status in RUN_TERMINAL:
        return f"the run has ended as {run.status}"
    if run.status is RunStatus.QUEUED:
        draft.move_run(RunStatus.CANCELLING, verdict=verdict, reason=reason)
        for key in [*draft.steps]:
            if not draft.steps[key].terminal:
                draft.end(draft.steps[key], StepStatus.CANCELLED, reason="cancelled")
        return None
    in_finally = draft.open_main == 0
    again = force or grace is not None
    if run.status is RunStatus.CANCELLING and not in_finally and not again:
        return "the run is being cancelled already"
    if run.status is not RunStatus.CANCELLING:
        stopped = {"verdict": verdict, "reason": reason, "deadline_at": None, "paused": None}
        draft.move_run(RunStatus.CANCELLING, **stopped)
    live = _stop(draft, _stoppable(draft, in_finally=in_finally), in_finally=in_finally)
    if force and not in_finally:
        _drop_finally(draft)
    if live:
        spared = timedelta() if force else grace
        draft.ask(StopAttempts(run.id, tuple(live), "cancelled", running=True, grace=spared))
    return None


def _stop(draft: Draft, steps: Iterable[Step], *, in_finally: bool) -> list[str]:
    """End what waits; return the live attempts of what runs."""
    live = []
    for step in steps:
        asked = in_finally and step.reason != STOP_ASKED and not is_marking(step)
        if step.status is StepStatus.RUNNING and asked:
            draft.move(step, StepStatus.RUNNING, reason=STOP_ASKED)
        if step.live is not None:
            live.append(step.live.id)
        elif step.status is StepStatus.RUNNING:
            draft.touched.append(step.key)  # held back in a paused run, nothing else would end it
        else:
            draft.end(step, StepStatus.CANCELLED, reason="cancelled")
    return live


def _drop_finally(draft: Draft) -> None:
    """End the steps of `finally` before their turn: nothing of the run is to start any more."""
    for planned in draft.plan.steps:
        step = draft.steps[planned.key]
        if planned.final and not step.terminal:
            draft.end(step, StepStatus.CANCELLED, reason="cancelled")


def _stoppable(draft: Draft, *, in_finally: bool) -> list[Step]:
    """Return the open steps of one part of the plan, each with its open children after it.

    A step that runs for each item ends by itself once its children have ended.
    """
    found = []
    for planned in draft.plan.steps:
        step = draft.steps[planned.key]
        if planned.final is not in_finally or step.terminal:
            continue
        found.append(step)
        if planned.foreach is not None:
            children = draft.state.children_of(planned.key)
            found += [c for c in children if _is_started(c)]
    return found


def _is_started(step: Step) -> bool:
    return not step.terminal and step.status is not StepStatus.PENDING
