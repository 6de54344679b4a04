"""Builders that spell only what a test is about, and a run that checks itself after every event."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from headway.plan.model import Foreach, Kind, Plan, PlanStep, Retry, When
from headway_coordinator.engine import invariants
from headway_coordinator.engine.advance import advance, create
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
    PauseRequested,
    ResumeRequested,
    RetryRequested,
    Withdrawn,
)
from headway_coordinator.engine.model import (
    AttemptEnded,
    AttemptMade,
    ChildMade,
    Decide,
    Decision,
    Run,
    RunCreated,
    RunMoved,
    Step,
    StepMoved,
    StopAttempts,
)
from headway_coordinator.engine.state import RunState, apply
from headway_coordinator.engine.states import RunStatus, StepStatus

START = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
QUEUE = "analytics.small"


def planned(
    key: str,
    *needs: str,
    when: When | str = When.ALL_SUCCEEDED,
    condition: str | None = None,
    kind: Kind = Kind.RUN,
    retry: Retry | None = None,
    retries: int = 0,
    queue_timeout: timedelta | None = None,
    final: bool = False,
    allow_failure: bool = False,
    foreach: Foreach | None = None,
    at_least: int = 1,
    cancels: tuple[str, ...] = (),
) -> PlanStep:
    """Return a step of a plan; `plan` gives it its index."""
    return PlanStep(
        key=key,
        index=-1,
        kind=kind,
        needs=needs,
        when=When(when),
        condition=condition,
        resource_class="small",
        retry=retry or Retry(max=retries),
        timeout=None,
        queue_timeout=queue_timeout,
        final=final,
        allow_failure=allow_failure,
        foreach=foreach,
        at_least=at_least,
        cancels=cancels,
        body={},
    )


def plan(*steps: PlanStep, timeout: timedelta | None = None) -> Plan:
    """Return a plan of `steps`, which stand in topological order with `finally` last."""
    numbered = tuple(replace(step, index=index) for index, step in enumerate(steps))
    dependents: dict[str, list[str]] = {step.key: [] for step in steps}
    for step in steps:
        for need in step.needs:
            dependents[need].append(step.key)
    return Plan(
        pipeline="daily",
        team="analytics",
        digest="d0",
        priority=0,
        timeout=timeout,
        code=None,
        steps=numbered,
        by_key={step.key: step for step in numbered},
        dependents={key: tuple(names) for key, names in dependents.items()},
    )


def queued_run(plan: Plan, id: str = "r") -> Run:
    """Return a run that has not begun."""
    return Run(
        id=id,
        team=plan.team,
        pipeline=plan.pipeline,
        digest=plan.digest,
        status=RunStatus.QUEUED,
        params={},
        actor="ann",
        priority=plan.priority,
        logical_date=START,
        created_at=START,
    )


Snapshot = tuple[Run, dict[str, Step], dict[str, Any], dict[str, Any], int, int]


def snapshot(state: RunState) -> Snapshot:
    """Return everything that a state says, to be compared."""
    counts = (state.open_main, state.open_final)
    return (state.run, dict(state.steps), dict(state.tallies), dict(state.children), *counts)


class Journey:
    """A run on its way. Every event that it takes is checked for purity and against invariants."""

    def __init__(self, plan: Plan, *, checked: bool = True, group: str | None = None) -> None:
        self._checked = checked
        self.now = START
        self.told: list[Event] = []
        self.state, self.begun = create(plan, replace(queued_run(plan), group=group), self.now)
        self._move(self.begun)

    @classmethod
    def of(cls, *steps: PlanStep, timeout: timedelta | None = None) -> Journey:
        """Return a run of these steps that has just begun."""
        return cls(plan(*steps, timeout=timeout))

    @classmethod
    def quiet(cls, plan: Plan) -> Journey:
        """Return a run that checks itself only when it has ended: for large graphs."""
        return cls(plan, checked=False)

    # --- what happens ----------------------------------------------------------------------------

    def take(self, event: Event) -> Decision:
        """Advance the run by `event` and return the decision, already applied."""
        before = self._snapshot()
        decision = advance(self.state, event, self.now)
        assert self._snapshot() == before, "advance touched the state"
        self.told.append(event)
        if decision.ignored is not None:
            assert not decision.changes
            assert not decision.effects
        self._move(decision)
        return decision

    def _snapshot(self) -> Snapshot | None:
        return snapshot(self.state) if self._checked else None

    def _move(self, decision: Decision) -> None:
        if not self._checked and self.state.open_main:
            apply(self.state, decision.changes)
            return
        before = snapshot(self.state)
        overlay = self.state.overlay()
        apply(overlay, decision.changes)
        assert snapshot(self.state) == before, "the overlay wrote through"
        apply(self.state, decision.changes)
        assert snapshot(self.state) == snapshot(overlay), "the overlay and the state differ"
        problems = invariants.check(self.state)
        assert problems == [], "; ".join(problems)

    def admit(self, *keys: str) -> Decision:
        """Admit the steps; return the last decision."""
        return [self.take(Admitted(key, QUEUE, {"kind": "run"})) for key in keys][-1]

    def finish(self, key: str, outcome: str = "succeeded", **fields: Any) -> Decision:
        """End the live attempt of the step."""
        live = self.state.steps[key].live
        assert live is not None, f"{key} has no live attempt"
        return self.take(Finished(live.id, live.fence, outcome, **fields))

    def perform(self, *keys: str, outcome: str = "succeeded") -> Decision:
        """Admit and end the steps, one by one; return the last decision."""
        for key in keys:
            self.admit(key)
            decision = self.finish(key, outcome)
        return decision

    def withdraw(self, key: str, reason: str = "cancelled") -> Decision:
        live = self.state.steps[key].live
        assert live is not None, f"{key} has no live attempt"
        return self.take(Withdrawn(live.id, live.fence, reason))

    def decide(self, key: str, value: bool) -> Decision:
        return self.take(Decided(key, value))

    def defer(self, key: str, by: timedelta) -> Decision:
        return self.take(Deferred(key, self.now + by))

    def expand(self, key: str, *items: Any) -> Decision:
        """Give the step its items."""
        return self.take(Expanded(key, items))

    def due(self, key: str | None = None, *, after: timedelta = timedelta()) -> Decision:
        """Let time pass, then say that the step's (or the run's) moment has come."""
        self.now += after
        return self.take(Due(key))

    def cancel(self) -> Decision:
        return self.take(CancelRequested("ann"))

    def retry(self) -> Decision:
        return self.take(RetryRequested("ann"))

    def clear(self, *keys: str, only: bool = False, force: bool = False) -> Decision:
        return self.take(ClearRequested("ann", keys, not only, force))

    def mark(self, status: str, *keys: str, force: bool = False, **outputs: Any) -> Decision:
        return self.take(MarkRequested("ann", keys, StepStatus(status), outputs, force, "so it is"))

    def pause(self) -> Decision:
        return self.take(PauseRequested("ann", "the source is broken"))

    def resume(self) -> Decision:
        return self.take(ResumeRequested("ann"))

    # --- what has become of it -------------------------------------------------------------------

    @property
    def status(self) -> str:
        return str(self.state.run.status)

    @property
    def steps(self) -> str:
        """The steps' states in the plan's order: `a=succeeded b=ready`."""
        return " ".join(f"{k}={s.status}" for k, s in self.state.steps.items())

    def __getitem__(self, key: str) -> Step:
        return self.state.steps[key]


def reloaded(state: RunState) -> RunState:
    """Return the state as a new leader would build it from the stored rows."""
    return RunState.of(state.plan, state.run, state.steps.values())


def transcript(decision: Decision) -> list[str]:
    """Return the decision as lines that a person can compare."""
    if decision.ignored is not None:
        return [f"ignored: {decision.ignored}"]
    return [*_changes(decision), *_effects(decision)]


def _changes(decision: Decision) -> Iterable[str]:
    for change in decision.changes:
        match change:
            case RunCreated(run):
                yield f"run created as {run.status}"
            case RunMoved(before, after):
                yield f"run {before.status} → {after.status}" + _because(after.reason)
            case StepMoved(before, after):
                yield f"{after.key} {before.status} → {after.status}" + _because(after.reason)
            case ChildMade(after):
                yield f"{after.key} made as {after.status}"
            case AttemptMade():
                yield f"attempt {change.attempt} made"
            case AttemptEnded():
                yield f"attempt {change.attempt} {change.outcome}" + _because(change.reason)


def _because(reason: str | None) -> str:
    return f" ({reason})" if reason else ""


def _effects(decision: Decision) -> Iterable[str]:
    for effect in decision.effects:
        match effect:
            case Decide(step):
                yield f"decide {step}"
            case StopAttempts():
                running = " running too" if effect.running else ""
                yield f"stop {' '.join(effect.attempts)} ({effect.reason}){running}"
