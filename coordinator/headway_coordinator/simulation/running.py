"""One run on a clock that jumps from moment to moment, the way the leader takes its batches.

What a batch comes to is decided by the leader's own `Filler`. Here is what stands around it: free
slots take what was dispatched first, at once; ends of attempts and timers stand in two heaps, and
nothing else makes time pass.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from statistics import median_low
from types import MappingProxyType
from typing import Any

from headway.expressions import evaluate
from headway.plan.children import child_index
from headway.plan.model import Kind, Plan
from headway.protocol.queues import step_queue
from headway.simulation.parts import SLOTS, Assumed, Simulated
from headway_coordinator.admission.backlog import Backlog, Waiting
from headway_coordinator.admission.turns import Group
from headway_coordinator.admission.window import Window, windows
from headway_coordinator.application.batch import Batch, Incoming, Touched
from headway_coordinator.application.filling import Filler, Given
from headway_coordinator.application.pause_ports import Holds
from headway_coordinator.application.resolving import Resolver
from headway_coordinator.engine.events import Event, Finished, Withdrawn
from headway_coordinator.engine.model import AttemptMade, Live, Run, StepMoved, StopAttempts
from headway_coordinator.engine.state import RunState
from headway_coordinator.engine.states import RUN_TERMINAL
from headway_coordinator.simulation.attempts import Performances, finished
from headway_coordinator.simulation.slots import Slots
from headway_coordinator.simulation.story import Story


class _InThisProcess:
    """Implements `Evaluator`. Whoever simulates a definition could run it as well: no child guards
    this process from it."""

    def evaluate(self, source: str, context: Mapping[str, Any]) -> Any:
        return evaluate(source, context)


class _Known:
    """Implements `Known`: one run, and its timers."""

    def __init__(self) -> None:
        self.runs: dict[str, RunState] = {}
        self.quarantined: set[str] = set()
        self.backlog = Backlog()
        self.groups: dict[str, Group] = {}
        self.doubtful_groups: set[str] = set()
        self.parked: dict[tuple[str, str], list[tuple[str, Waiting]]] = {}
        self.timers: list[tuple[datetime, str, str]] = []

    def unpark(self, holds: Holds) -> None:
        """Nobody holds anything back here."""

    def remind(self, at: datetime, run: str, key: str) -> None:
        heapq.heappush(self.timers, (at, run, key))

    def due(self, now: datetime, limit: int) -> list[tuple[str, str]]:
        found: dict[tuple[str, str], None] = {}
        while self.timers and self.timers[0][0] <= now and len(found) < limit:
            _, run, key = heapq.heappop(self.timers)
            found[run, key] = None
        return list(found)


class Simulation:
    """A run and the world around it. `move` takes it to its next moment."""

    def __init__(self, plan: Plan, run: Run, assumed: Assumed) -> None:
        self._plan = plan = _with_skips(plan, assumed)
        self._run = run
        self.now = run.created_at
        self.state: RunState | None = None
        classes = {step.resource_class for step in plan.steps if step.kind is not Kind.WAIT}
        self.slots_of = {name: assumed.slots.get(name, SLOTS) for name in sorted(classes)}
        self.slots = Slots({step_queue(run.team, c): n for c, n in self.slots_of.items()})
        self._performances = Performances(assumed)
        self._medians = _medians(plan, self._performances)
        self._known = _Known()
        self._filler = Filler(
            memory=self._known,
            resolver=Resolver(_InThisProcess()),
            plan_of=lambda _: plan,
            windows=self._windows,
        )
        self._story = Story(plan, run.created_at, self.slots_of)
        self._ends: list[tuple[datetime, int, int, str]] = []  # step and item, then the attempt
        self._live: dict[str, tuple[AttemptMade, str]] = {}  # with how it will end
        self._own: deque[Event] = deque()
        self._more = False  # whether steps can be admitted without anything happening

    def move(self) -> bool:
        """Let the next moment's events happen; False when there is none any more."""
        if self.state is not None and not self._own and not self._more:
            at = self._next()
            if at is None:
                return False
            self.now = at
        batch = Batch(self.now, self._known.runs.get)
        if self.state is None:
            self._filler.create(batch, self._plan, self._run, inbox=0, actor=self._run.actor)
        incoming = [Incoming(self._run.id, event) for event in self._happening()]
        self._more = self._filler.fill(batch, Given(incoming, (), frozenset()))
        self._accept(batch)
        return True

    def result(self) -> Simulated:
        """Return what has become of the run."""
        assert self.state is not None
        run, story = self.state.run, self._story
        return Simulated(
            state=str(run.status),
            reason=run.reason,
            makespan_s=story.seconds(run.finished_at or self.now) or 0.0,
            steps=story.steps(self.state, self.now),
            critical_path=story.critical_path(self.state),
            params=run.params,
            slots=self.slots_of,
            examples=self._performances.with_examples(self._plan),
        )

    # --- the clock -------------------------------------------------------------------------------

    def _next(self) -> datetime | None:
        """Return the next moment at which something happens to the run."""
        assert self.state is not None
        if self.state.run.status in RUN_TERMINAL:
            return None
        while self._ends and not self.slots.is_running(self._ends[0][-1]):
            heapq.heappop(self._ends)  # it was stopped before
        timers = self._known.timers
        while timers and self._due_at(timers[0][2]) != timers[0][0]:
            heapq.heappop(timers)  # the step has moved on
        moments = [heap[0][0] for heap in (self._ends, timers) if heap]
        return min(moments, default=None)

    def _due_at(self, key: str) -> datetime | None:
        assert self.state is not None
        return self.state.steps[key].due_at if key else self.state.run.deadline_at

    def _happening(self) -> list[Event]:
        """Return which attempts end now; their slots are taken by what waits for them."""
        events = [*self._own]
        self._own.clear()
        while self._ends and self._ends[0][0] <= self.now:
            attempt = heapq.heappop(self._ends)[-1]
            if self.slots.is_running(attempt):
                events.append(self._finished(*self._live[attempt]))
        for event in events:
            if isinstance(event, Finished | Withdrawn):
                self.slots.end(event.attempt)
                self._live.pop(event.attempt, None)
        self._claim()
        return events

    def _finished(self, made: AttemptMade, outcome: str) -> Finished:
        live = Live(made.attempt, made.no, made.fence, made.queue)
        if outcome != "succeeded":
            return finished(live, outcome, {})
        return finished(live, outcome, self._performances.outputs(self._plan.of(made.step)))

    def _windows(self, _: Iterable[str | None]) -> dict[str, Window]:
        return windows(self.slots.capacities(), self.slots.unclaimed(), self._medians)

    # --- after the decision ----------------------------------------------------------------------

    def _accept(self, batch: Batch) -> None:
        for defect in batch.defects.values():
            raise defect
        touched = self._touched(batch)
        run, self.state = self._run.id, touched.commit(self.state)
        self._known.runs[run] = self.state
        for change in touched.changes:
            if isinstance(change, StepMoved):
                self._story.moved(change, self.now)
                if change.after.due_at is not None:
                    self._known.remind(change.after.due_at, run, change.after.key)
        deadline = self.state.run.deadline_at
        if touched.new and deadline is not None:
            self._known.remind(deadline, run, "")
        for made in batch.made():
            self._live[made.attempt] = (made, "")
            self.slots.dispatch(made)
        for stop in batch.stops():
            self._stop(stop)
        self._claim()

    def _stop(self, stop: StopAttempts) -> None:
        """Answer as the rows would: what has no slot is withdrawn; what runs ends at once."""
        for attempt in stop.attempts:
            made, _ = self._live[attempt]
            if not self.slots.is_running(attempt):
                self.slots.withdraw(attempt, made.queue)
                self._own.append(Withdrawn(attempt, made.fence, stop.reason))
            elif stop.running:
                self._own.append(self._finished(made, "cancelled"))

    def _claim(self) -> None:
        for made in self.slots.claim():
            planned = self._plan.of(made.step)
            goes = self._performances.of(planned, made.no)
            self._live[made.attempt] = (made, goes.outcome)
            place = (planned.index, child_index(made.step) or 0)
            heapq.heappush(self._ends, (self.now + goes.takes, *place, made.attempt))
            self._story.started(made.step, self.now)

    def _touched(self, batch: Batch) -> Touched:
        touched = batch.touch(self._run.id)
        if touched is None:
            raise next(iter(batch.defects.values()))
        return touched


def _with_skips(plan: Plan, assumed: Assumed) -> Plan:
    """Return the plan in which the steps that are to be skipped have a condition that is false."""
    skipped = {key for key, outcome in assumed.outcomes.items() if outcome == "skipped"}
    if not skipped:
        return plan
    steps = tuple(replace(s, condition="false") if s.key in skipped else s for s in plan.steps)
    return replace(plan, steps=steps, by_key=MappingProxyType({s.key: s for s in steps}))


def _medians(plan: Plan, performances: Performances) -> dict[str, timedelta]:
    """Return the median step time of each queue, which a leader learns from earlier runs."""
    durations: dict[str, list[timedelta]] = {}
    for step in plan.steps:
        queue = step_queue(plan.team, step.resource_class)
        durations.setdefault(queue, []).append(performances.of(step, 1).takes)
    return {queue: median_low(each) for queue, each in durations.items()}
