"""A decision in the making: moves are checked against the table and seen by what follows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from headway.errors import DefectError
from headway.plan.children import parent_of
from headway.plan.model import Plan
from headway_coordinator.engine.model import (
    Change,
    ChildMade,
    Decision,
    Effect,
    Run,
    RunCreated,
    RunMoved,
    Step,
    StepMoved,
)
from headway_coordinator.engine.state import RunState, apply
from headway_coordinator.engine.states import RUN_MOVES, STEP_MOVES, RunStatus, StepStatus


class Draft:
    """The state as the decision leaves it so far, and the changes and effects that make it up."""

    def __init__(self, state: RunState, now: datetime) -> None:
        self._state = state.overlay()
        self._changes: list[Change] = []
        self._effects: dict[Effect, None] = {}  # ordered; asking twice is asking once
        self.now = now
        self.touched: deque[str] = deque()  # steps whose needs changed, to be settled

    @property
    def plan(self) -> Plan:
        return self._state.plan

    @property
    def run(self) -> Run:
        return self._state.run

    @property
    def steps(self) -> Mapping[str, Step]:
        return self._state.steps

    @property
    def open_main(self) -> int:
        return self._state.open_main

    @property
    def open_final(self) -> int:
        return self._state.open_final

    @property
    def state(self) -> RunState:
        return self._state

    @property
    def effects(self) -> Iterable[Effect]:
        return self._effects

    def add(self, change: Change) -> None:
        apply(self._state, (change,))
        self._changes.append(change)

    def ask(self, effect: Effect) -> None:
        self._effects[effect] = None

    def create(self) -> None:
        self.add(RunCreated(self.run))

    def move_run(self, status: RunStatus, **fields: Any) -> None:
        run = self.run
        if status not in RUN_MOVES[run.status]:
            raise self._illegal(f"run {run.status} → {status}")
        self.add(RunMoved(run, replace(run, status=status, **fields)))

    def reopen_run(self, *, to_do: bool = True) -> None:
        """The one way out of a terminal state: a person asked for it.

        A run of a group takes its turn again, unless there is nothing `to_do` in it.
        """
        run = self.run
        waits = run.group is not None and to_do
        timeout = None if waits else self.plan.timeout  # counts from its start
        self.add(
            RunMoved(
                run,
                replace(
                    run,
                    status=RunStatus.QUEUED if waits else RunStatus.RUNNING,
                    request=run.request + 1,
                    finished_at=None,
                    verdict=None,
                    reason=None,
                    deadline_at=self.now + timeout if timeout else None,
                ),
            )
        )

    def move(self, step: Step, status: StepStatus, **fields: Any) -> None:
        if status not in STEP_MOVES[step.status] and status is not step.status:
            raise self._illegal(f"step {step.key} {step.status} → {status}")
        self.add(StepMoved(step, replace(step, status=status, **fields)))

    def make_ready(self, step: Step, **fields: Any) -> None:
        """Let the step wait for admission; in a paused run, for the run to go on."""
        if self.run.status is RunStatus.PAUSED:
            self.move(step, StepStatus.PENDING, ready_at=None, due_at=None, **fields)
            if step.key not in self.plan.by_key:
                self.touched.append(parent_of(step.key))
            return
        due = self._queued_until(step.key)
        self.move(step, StepStatus.READY, ready_at=self.now, due_at=due, **fields)

    def make_child(self, key: str) -> None:
        """Make a child that is ready at once."""
        due = self._queued_until(key)
        self.add(ChildMade(Step(key, StepStatus.READY, ready_at=self.now, due_at=due)))

    def _queued_until(self, key: str) -> datetime | None:
        planned = self.plan.of(key)
        # A step that runs for each item waits for no worker: its children do.
        waits = planned.foreach is None or key != planned.key
        return self.now + planned.queue_timeout if planned.queue_timeout and waits else None

    def end(self, step: Step, status: StepStatus, **fields: Any) -> None:
        fields = {"reason": None, "error": None, **fields}
        self.move(step, status, live=None, due_at=None, finished_at=self.now, **fields)
        planned = self.plan.by_key.get(step.key)
        if planned is None:
            self.touched.append(parent_of(step.key))
            return
        self.touched.extend(self.plan.dependents.get(step.key, ()))
        if planned.foreach is not None:
            self._drop_children(step.key)

    def _drop_children(self, key: str) -> None:
        """End the children that waited for their turn once more, in a run that was reopened."""
        for child in [*self._state.children_of(key)]:
            if child.status is StepStatus.PENDING:
                self.end(child, StepStatus.CANCELLED, reason="cancelled")

    def mark(self, step: Step, status: StepStatus, reason: str, found: Mapping[str, Any]) -> None:
        """Give the step an end by hand, whatever its state; `found` is what it has to show."""
        end = Step(step.key, status, attempts=step.attempts, ready_at=step.ready_at)
        end = replace(end, reason=reason, finished_at=self.now, items=step.items, **found)
        self.add(StepMoved(step, end))
        self.touched.extend(self.plan.dependents.get(step.key, ()))
        if step.key in self._state.children:
            self._drop_children(step.key)

    def reopen(self, step: Step, reason: str | None = None) -> None:
        again = Step(step.key, attempts=step.attempts, reason=reason, items=step.items)
        self.add(StepMoved(step, again))

    def reopen_children(self, step: Step, *, done: bool) -> None:
        """Let the step's children be made again; with `done` also those that have succeeded."""
        for child in [*self._state.children_of(step.key)]:
            if done or child.status is not StepStatus.SUCCEEDED:
                self.reopen(child)

    def reopen_whole(self, step: Step, reason: str | None = None) -> None:
        """Let the step be done again, with all of its items; it is to be settled anew."""
        if step.key in self._state.children:
            self.reopen_children(step, done=True)
        self.reopen(self.steps[step.key], reason)
        self.touched.append(step.key)

    def decision(self) -> Decision:
        return Decision(tuple(self._changes), tuple(self._effects))

    def _illegal(self, move: str) -> DefectError:
        story = {"run": self.run.id, "changes": [str(c) for c in self._changes[-20:]]}
        return DefectError("illegal_move", f"illegal move: {move}", story)
