"""The leader's memory: open runs, their timers, and the steps that wait. A cache of rows.

Whatever is doubtful is dropped and read again; nothing here is the only place where it stands.
"""

from __future__ import annotations

import heapq
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime

import structlog

from headway.errors import HeadwayError
from headway.plan.children import child_index
from headway.protocol.queues import step_queue
from headway_coordinator.admission.backlog import Backlog, Waiting
from headway_coordinator.admission.turns import Active, Contender, Group
from headway_coordinator.application.batch import Incoming, Poison
from headway_coordinator.application.pause_ports import Holds
from headway_coordinator.application.plans import Plans
from headway_coordinator.application.ports import Storage, StorageUnavailable, StoredRun
from headway_coordinator.application.resolving import is_outside
from headway_coordinator.engine import invariants
from headway_coordinator.engine.events import Withdrawn
from headway_coordinator.engine.model import Run, Step
from headway_coordinator.engine.settle import outstanding
from headway_coordinator.engine.state import RunState
from headway_coordinator.engine.states import RUN_TERMINAL, RunStatus, StepStatus

log = structlog.get_logger("headway.memory")

_READ_LIMIT = 200


class Memory:
    """Open runs by id, and what is to be done about them without being told."""

    def __init__(self, storage: Storage, plans: Plans) -> None:
        self._storage = storage
        self._plans = plans
        self.runs: dict[str, RunState] = {}
        self.quarantined: set[str] = set()
        self.backlog = Backlog()
        self.own: deque[Incoming] = deque()
        self.conditions: set[tuple[str, str]] = set()
        # Waiting steps of paused pipelines, by (team, pipeline), with their queues.
        self.parked: dict[tuple[str, str], list[tuple[str, Waiting]]] = {}
        self.groups: dict[str, Group] = {}
        self.doubtful_groups: set[str] = set()  # whose turns are to be looked at without an event
        self._timers: list[tuple[datetime, str, str]] = []

    def load(self) -> int:
        """Forget all and read every open run; returns how many there are."""
        self.runs.clear()
        self.quarantined.clear()
        self.backlog = Backlog()
        self.own.clear()
        self.conditions.clear()
        self.parked.clear()
        self._timers.clear()
        self.groups.clear()
        self.doubtful_groups.clear()
        self.read(self._storage.runs.open_ids())
        return len(self.runs)

    def read(self, ids: Sequence[str]) -> None:
        """Read those of the runs that exist; one that cannot be understood is left out."""
        for start in range(0, len(ids), _READ_LIMIT):
            for stored in self._storage.runs.load(ids[start : start + _READ_LIMIT]):
                self._keep(stored)

    def read_missing(self, ids: Iterable[str]) -> None:
        self.read(sorted({i for i in ids if i not in self.runs and i not in self.quarantined}))

    def read_again(self, ids: Iterable[str]) -> None:
        """Drop the runs and read them again, with their timers and waiting steps."""
        gone = [run for run in ids if self.forget(run)]
        try:
            self.read(gone)
        except StorageUnavailable:
            # The caller waits for the database and then loads everything.
            log.warning("memory_dropped", runs=len(gone))

    def forget(self, run: str) -> bool:
        """Drop what is remembered of the run; say whether there was anything."""
        state = self.runs.pop(run, None)
        if state is None:
            return False
        group = state.run.group
        if group is not None and group in self.groups:
            self.groups[group].remove(run)
            self.doubtful_groups.add(group)
            if not self.groups[group]:
                del self.groups[group]
        return True

    def end(self, run: str) -> None:
        """Drop a run that has ended; its group has learnt of it already."""
        group = self.runs.pop(run).run.group
        if group is not None and not self.groups.get(group, True):
            del self.groups[group]

    def place(self, state: RunState) -> None:
        """Give the run its place among the runs of its group."""
        if state.run.group is not None:
            group = self.groups.setdefault(state.run.group, Group())
            stand(group, state)

    def _keep(self, stored: StoredRun) -> None:
        run = stored.run
        if stored.quarantine is not None:
            self.quarantined.add(run.id)
            return
        try:
            state = RunState.of(self._plans.get(run.digest), run, stored.steps)
            problems = invariants.check(state)
        except (HeadwayError, KeyError, ValueError) as error:
            log.error("run_unreadable", run=run.id, error=str(error))
            self.quarantined.add(run.id)
            return
        self.runs[run.id] = state
        self.place(state)
        if run.group is not None:
            self.doubtful_groups.add(run.group)
        if problems:
            self.own.append(Incoming(run.id, Poison("; ".join(problems[:3]))))
            return
        for lost in stored.withdrawn:
            self.own.append(Incoming(run.id, Withdrawn(lost.attempt, lost.fence, lost.reason)))
        self.conditions.update((run.id, effect.step) for effect in outstanding(state))
        for step in state.steps.values():
            self.note_step(state, step)
        self.note_run(run)

    def note_step(self, state: RunState, step: Step) -> None:
        """Keep the step's moment in the timers and, if it waits for a worker, its place in line."""
        if step.due_at is not None and not step.terminal:
            heapq.heappush(self._timers, (step.due_at, state.run.id, step.key))
        if step.status is not StepStatus.READY:
            return
        if is_outside(state.plan, step.key):
            self.conditions.add((state.run.id, step.key))
        else:
            line_up(self.backlog, state, step)

    def unpark(self, holds: Holds) -> None:
        """Give the waiting steps of pipelines that are not paused any more their place in line."""
        for team, pipeline in [key for key in self.parked if holds.pipeline(*key) is None]:
            for queue, waiting in self.parked.pop((team, pipeline)):
                self.backlog.add(queue, waiting)

    def note_run(self, run: Run) -> None:
        if run.deadline_at is not None and run.status not in RUN_TERMINAL:
            heapq.heappush(self._timers, (run.deadline_at, run.id, ""))

    def due(self, now: datetime, limit: int) -> list[tuple[str, str]]:
        """Remove and return what is due, as (run, step or the empty string for the run itself)."""
        due: list[tuple[str, str]] = []
        while self._timers and self._timers[0][0] <= now and len(due) < limit:
            _, run, step = heapq.heappop(self._timers)
            if run in self.runs:
                due.append((run, step))
        return due

    def next_due(self) -> datetime | None:
        return self._timers[0][0] if self._timers else None


def stand(group: Group, state: RunState) -> None:
    """Put the run where it stands in its group: in the line, under way, or nowhere."""
    run, plan = state.run, state.plan
    if run.status in RUN_TERMINAL:
        group.remove(run.id)
    elif run.status is RunStatus.QUEUED:
        limit = sys.maxsize if plan.limit is None else plan.limit
        group.wait(Contender(-run.priority, run.created_at, run.id, plan.overlap, limit))
    else:
        since = run.started_at or run.created_at
        group.go(run.id, Active(since, run.status is RunStatus.CANCELLING))


def line_up(backlog: Backlog, state: RunState, step: Step) -> None:
    """Put a ready step into the line of its queue."""
    planned = state.plan.of(step.key)
    ready_at = step.ready_at or state.run.created_at
    place = (planned.index, child_index(step.key) or 0)
    entry = Waiting(-state.run.priority, ready_at, state.run.id, place, step.key)
    backlog.add(step_queue(state.run.team, planned.resource_class), entry)
