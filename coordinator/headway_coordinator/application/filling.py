"""What a batch comes to: what was given, what is due, whose turn it is, conditions, admission.

All of it is decided on the batch's overlays, before its transaction is opened. What the memory does
not hold is asked for: plans, and how many attempts each queue has. A simulation fills its batches
with this, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Protocol

import structlog

from headway.errors import DefectError, HeadwayError
from headway.expressions import ExpressionError
from headway.plan.model import Plan
from headway_coordinator.admission.backlog import Backlog, Waiting
from headway_coordinator.admission.turns import Group
from headway_coordinator.admission.window import Window
from headway_coordinator.application.batch import Batch, Incoming, Poison
from headway_coordinator.application.memory import line_up, stand
from headway_coordinator.application.pause_ports import Holds
from headway_coordinator.application.ports import InboxEntry
from headway_coordinator.application.requests import incoming_of, requested_run
from headway_coordinator.application.resolving import Resolver, is_outside
from headway_coordinator.engine.events import (
    CancelRequested,
    Due,
    Event,
    Finished,
    Opened,
    Refused,
    Unresolvable,
)
from headway_coordinator.engine.model import Run
from headway_coordinator.engine.state import RunState
from headway_coordinator.engine.states import StepStatus

log = structlog.get_logger("headway.advance")

BATCH_LIMIT = 500
_PASSES = 20  # of admission; thousands of broken steps must not make one endless batch


@dataclass(frozen=True, slots=True)
class Given:
    """What a batch is made of. With `only`, nothing but that run is touched."""

    incoming: Sequence[Incoming]
    entries: Sequence[InboxEntry]
    conditions: frozenset[tuple[str, str]]
    groups: frozenset[str] = frozenset()
    only: str | None = None
    refused: str = ""  # why none of the entries is heeded, if they are not

    def of(self, run: str) -> Given:
        return Given(
            [i for i in self.incoming if i.run == run],
            [e for e in self.entries if e.run == run],
            frozenset(c for c in self.conditions if c[0] == run),
            only=run,
        )

    def runs(self) -> list[str]:
        named = [i.run for i in self.incoming] + [e.run for e in self.entries]
        return list(dict.fromkeys([*named, *(run for run, _ in sorted(self.conditions))]))


class Known(Protocol):
    """What a filler reads of the memory, and leaves there."""

    runs: dict[str, RunState]
    quarantined: set[str]
    backlog: Backlog
    groups: dict[str, Group]
    doubtful_groups: set[str]
    parked: dict[tuple[str, str], list[tuple[str, Waiting]]]

    def unpark(self, holds: Holds) -> None:
        """Give what waits and is not held back any more its place in line."""

    def due(self, now: datetime, limit: int) -> list[tuple[str, str]]:
        """Remove and return what is due, as (run, step or the empty string for the run itself)."""


Windows = Callable[[Iterable[str | None]], Mapping[str, Window]]


class Filler:
    """Fills batches; the thread that advances calls it.

    `windows` is given the workers of attempts that end in the batch: their slots are free. `holds`
    returns what people hold back.
    """

    def __init__(
        self,
        *,
        memory: Known,
        resolver: Resolver,
        plan_of: Callable[[str], Plan],
        windows: Windows,
        holds: Callable[[], Holds] = Holds,
    ) -> None:
        self._memory = memory
        self._resolver = resolver
        self._plan_of = plan_of
        self._windows = windows
        self._holds = holds

    def fill(self, batch: Batch, given: Given) -> bool:
        """Take everything that is given, what is due and what follows, and admit steps.

        Says whether the next batch has more to admit at once.
        """
        for event in given.incoming:
            if isinstance(event.event, Poison):
                batch.set_aside(event.run, DefectError("poisoned_run", event.event.problem))
            else:
                batch.take(event)
        for entry in given.entries:
            if given.refused:
                batch.inbox.append((entry.id, f"refused: {given.refused[:200]}"))
            else:
                self._take_entry(batch, entry)
        for run, step in self._due(batch.now, given.only):
            batch.take(Incoming(run, Due(step or None)))
        self._take_turns(batch, given)
        self._resolve(batch, given.conditions)
        # A run may end because the condition of its last step was false: that is somebody's turn.
        self._take_turns(batch, given)
        self._resolve(batch)
        for _ in range(_PASSES):
            if not self._admit(batch, given):
                return False
            # A step whose expressions failed there has left its room to the next in line, and what
            # waited for it, also another run, can go on; no other event would say so.
            self._take_turns(batch, given)
            self._resolve(batch)
        self._line(batch, given.only)
        return True

    def _take_entry(self, batch: Batch, entry: InboxEntry) -> None:
        if entry.run in self._memory.quarantined and entry.kind != "completion":
            batch.inbox.append((entry.id, "quarantined"))
        elif entry.kind == "run":
            try:
                plan = self._plan_of(str(entry.body["digest"]))
                run = requested_run(entry)
                self.create(batch, plan, run, inbox=entry.id, actor=entry.actor)
            except (HeadwayError, KeyError, ValueError) as error:
                log.error("run_refused", run=entry.run, error=str(error))
                batch.inbox.append((entry.id, f"refused: {error}"))
        elif (event := incoming_of(entry)) is not None:
            batch.take(event)
        else:
            batch.inbox.append((entry.id, "refused: malformed"))

    def create(self, batch: Batch, plan: Plan, run: Run, *, inbox: int, actor: str) -> None:
        """Start a new run, or let it wait for its turn in its group."""
        if plan.limit is None:
            batch.create(plan, run, inbox=inbox, actor=actor)
            return
        try:
            key, refusal = self._resolver.group_key(plan, run), None
        except ExpressionError as error:
            key, refusal = "", f"concurrency.key: {error}"
        group = f"{run.team}/{run.pipeline}/{key}"
        batch.create(plan, replace(run, group=group), inbox=inbox, actor=actor)
        if refusal is not None:
            batch.take(Incoming(run.id, Refused(refusal)))

    def _take_turns(self, batch: Batch, given: Given) -> None:
        """Start, skip and replace runs of the groups that the batch touches."""
        touched = {t.state.run.group for t in batch.touched.values() if t.new or t.run_moved}
        names = sorted(group for group in touched | set(given.groups) if group is not None)
        if given.only is not None:
            # One run is advanced alone: the others of its group are looked at afterwards.
            self._memory.doubtful_groups.update(names)
            return
        for name in names:
            self._take_turn(batch, name)

    def _take_turn(self, batch: Batch, name: str) -> None:
        known = self._memory.groups.get(name)
        group = Group() if known is None else known.copy()
        for touched in [t for t in batch.touched.values() if t.state.run.group == name]:
            stand(group, touched.state)
        while moves := list(_moves(group)):
            for run, event in moves:
                batch.take(Incoming(run, event))
                moved = batch.touch(run)
                if moved is None:  # set aside: it takes no turn any more
                    group.remove(run)
                else:
                    stand(group, moved.state)

    def _due(self, now: datetime, only: str | None) -> Iterable[tuple[str, str]]:
        if only is None:
            return self._memory.due(now, BATCH_LIMIT)
        state = self._memory.runs.get(only)
        if state is None:
            return []
        return [(only, key) for key in ("", *state.steps) if _is_due(state, key, now)]

    def _resolve(self, batch: Batch, conditions: Iterable[tuple[str, str]] = ()) -> None:
        """Evaluate conditions, waits and items until no decision asks for another."""
        todo = sorted(conditions)
        while todo := [*todo, *batch.conditions(), *_outside(batch)]:
            for run, key in dict.fromkeys(todo):  # two events may ask for the same condition
                touched = batch.touch(run)
                if touched is None:
                    continue
                state = touched.state
                status = state.steps[key].status
                if status is StepStatus.PENDING:
                    answer = self._resolver.condition(state, state.plan.by_key[key])
                    batch.take(Incoming(run, answer))
                elif status is StepStatus.READY and is_outside(state.plan, key):
                    batch.take(Incoming(run, self._resolver.outside(state, key, batch.now)))
            todo = []

    def _admit(self, batch: Batch, given: Given) -> bool:
        """Make attempts of waiting steps, as far as queues have room and nobody holds them back.

        Says whether a step failed.
        """
        backlog, failed = self._line(batch, given.only), False
        if not len(backlog) and not self._memory.parked:
            return False
        holds = self._holds()
        self._memory.unpark(holds)
        ended = [i.worker for i in given.incoming if isinstance(i.event, Finished)]
        windows = self._windows(ended)
        made = Counter(made.queue for made in batch.made())
        for queue in list(backlog.queues()):
            window = windows.get(queue)
            if window is None or holds.queue(queue) is not None:
                continue
            room, may_go = window.room - made[queue], partial(self._may_go, batch, holds, queue)
            for waiting in backlog.take(queue, room, may_go):
                touched = batch.touch(waiting.run)
                if touched is not None:
                    work = self._resolver.admission(touched.state, waiting.step, queue)
                    failed |= isinstance(work, Unresolvable)
                    batch.take(Incoming(waiting.run, work))
        self._resolve(batch)
        return failed

    def _may_go(self, batch: Batch, holds: Holds, queue: str, waiting: Waiting) -> bool:
        """Say whether the step waits still; one of a paused pipeline is kept aside."""
        if not _waits(batch, waiting):
            return False
        touched = batch.touch(waiting.run)
        assert touched is not None
        place = touched.state.run.team, touched.state.run.pipeline
        if holds.pipeline(*place) is None:
            return True
        self._memory.parked.setdefault(place, []).append((queue, waiting))
        return False

    def _line(self, batch: Batch, only: str | None) -> Backlog:
        """Return the line of waiting steps, the batch's own included; of `only` alone."""
        # Also when a run is advanced alone: there may be no room for its steps now, and nobody
        # would put them into the line later. If this is not written, they are found stale there.
        for touched in batch.touched.values():
            for step in touched.moved_to(StepStatus.READY):
                line_up(self._memory.backlog, touched.state, step)
        if only is None:
            return self._memory.backlog
        alone = Backlog()
        touched_run = batch.touch(only)
        if touched_run is not None:
            for step in touched_run.state.steps.values():
                if step.status is StepStatus.READY:
                    line_up(alone, touched_run.state, step)
        return alone


def _moves(group: Group) -> Iterable[tuple[str, Event]]:
    found = group.turns()
    for run in found.start:
        yield run, Opened()
    for run, because in found.skip.items():
        reason = f"overlap: skip, while run {because} is under way"
        yield run, CancelRequested("coordinator", reason)
    for run, because in found.replace.items():
        yield run, CancelRequested("coordinator", f"overlap: replaced by run {because}")


def _outside(batch: Batch) -> list[tuple[str, str]]:
    """Return ready steps of the batch that need no worker now."""
    return [
        (run, step.key)
        for run, touched in batch.touched.items()
        for step in touched.moved_to(StepStatus.READY)
        if is_outside(touched.state.plan, step.key)
    ]


def _waits(batch: Batch, waiting: Waiting) -> bool:
    touched = batch.touch(waiting.run)
    if touched is None:
        return False
    step = touched.state.steps[waiting.step]
    return step.status is StepStatus.READY and step.ready_at == waiting.ready_at


def _is_due(state: RunState, key: str, now: datetime) -> bool:
    due_at = state.steps[key].due_at if key else state.run.deadline_at
    return due_at is not None and due_at <= now
