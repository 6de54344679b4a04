"""A decision in the making: moves are checked against the table and seen by what follows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from headway.errors import DefectError
from headway.plan.model import Plan
from headway_coordinator.engine.model import (
    Change,
    Decision,
    Effect,
    Run,
    RunCreated,
    RunMoved,
    RunState,
    Step,
    StepMoved,
    apply,
)
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

    def reopen_run(self) -> None:
        """The one way out of a terminal state: a person's retry."""
        run = self.run
        timeout = self.plan.timeout if run.group is None else None  # counts from its start
        self.add(
            RunMoved(
                run,
                replace(
                    run,
                    status=RunStatus.RUNNING if run.group is None else RunStatus.QUEUED,
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
        wait = self.plan.by_key[step.key].queue_timeout
        due = self.now + wait if wait else None
        self.move(step, StepStatus.READY, ready_at=self.now, due_at=due, **fields)

    def end(self, step: Step, status: StepStatus, **fields: Any) -> None:
        fields = {"reason": None, "error": None, **fields}
        self.move(step, status, live=None, due_at=None, finished_at=self.now, **fields)
        self.touched.extend(self.plan.dependents.get(step.key, ()))

    def reopen(self, step: Step) -> None:
        self.add(StepMoved(step, Step(step.key, attempts=step.attempts)))

    def decision(self) -> Decision:
        return Decision(tuple(self._changes), tuple(self._effects))

    def _illegal(self, move: str) -> DefectError:
        story = {"run": self.run.id, "changes": [str(c) for c in self._changes[-20:]]}
        return DefectError("illegal_move", f"illegal move: {move}", story)
