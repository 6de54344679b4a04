"""One batch: what has happened, laid over the cache, and what is to be written of it.

Nothing here touches the database; nothing of it reaches the cache before the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from headway.errors import DefectError
from headway.ids import attempted_step
from headway.plan.model import Plan, PlanStep
from headway.protocol.queues import step_queue
from headway_coordinator.application.advancing_ports import AuditEntry
from headway_coordinator.application.notify_ports import NewNotification
from headway_coordinator.application.trigger_ports import NewEvent
from headway_coordinator.engine.advance import advance, create
from headway_coordinator.engine.events import Event, Finished
from headway_coordinator.engine.model import (
    AttemptEnded,
    AttemptMade,
    Change,
    ChildMade,
    Decide,
    Decision,
    Effect,
    Run,
    RunCreated,
    RunMoved,
    Step,
    StepMoved,
    StopAttempts,
)
from headway_coordinator.engine.recovery import details
from headway_coordinator.engine.state import RunState, apply
from headway_coordinator.engine.states import StepStatus


@dataclass(frozen=True, slots=True)
class Poison:
    """Not an event: the run is to be quarantined because of this problem."""

    problem: str


@dataclass(frozen=True, slots=True)
class Incoming:
    """An event for a run and where it came from: an inbox row, a broker message, or ourselves."""

    run: str
    event: Event | Poison
    actor: str = "coordinator"
    inbox: int | None = None
    ticket: object | None = None
    worker: str | None = None


@dataclass(slots=True)
class Touched:
    """A run in the batch: its overlay and what was decided on it."""

    state: RunState
    new: bool = False
    changes: list[Change] = field(default_factory=list)
    moves: dict[str, StepMoved] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)  # children that are not stored yet
    run_before: Run | None = None
    actors: list[str] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)

    def take(self, decision: Decision) -> None:
        """Move the overlay; each step's moves are joined into one, from what is stored."""
        apply(self.state, decision.changes)
        self.changes.extend(decision.changes)
        for change in decision.changes:
            if isinstance(change, StepMoved):
                first = self.moves.get(change.after.key)
                before = change.before if first is None else first.before
                self.moves[change.after.key] = StepMoved(before, change.after)
            elif isinstance(change, ChildMade):
                self.made.add(change.after.key)
                self.moves[change.after.key] = StepMoved(change.after, change.after)
            elif isinstance(change, RunMoved) and self.run_before is None:
                self.run_before = change.before

    def moved_to(self, status: StepStatus) -> list[Step]:
        return [m.after for m in self.moves.values() if m.after.status is status]

    @property
    def run_moved(self) -> bool:
        return self.run_before is not None

    def commit(self, base: RunState | None) -> RunState:
        """Return the run as it is after the commit: a new one, or `base` moved by the changes."""
        if self.new or base is None:
            return self.state
        apply(base, self.changes)
        return base


class Batch:
    """Overlays of the runs touched, with their changes, effects and defects."""

    def __init__(self, now: datetime, find: Callable[[str], RunState | None]) -> None:
        self.now = now
        self._find = find
        self.touched: dict[str, Touched] = {}
        self.defects: dict[str, DefectError] = {}
        self.effects: list[tuple[str, Effect]] = []
        self.ignored: list[tuple[Incoming, str]] = []
        self.inbox: list[tuple[int, str]] = []
        self.finished: list[Finished] = []
        self.strays: list[AttemptEnded] = []
        self.told: list[NewEvent] = []
        self.noted: list[NewNotification] = []
        self.heard = 0
        self._durations: list[tuple[str, timedelta]] = []

    def create(self, plan: Plan, run: Run, *, inbox: int, actor: str) -> None:
        """Start a new run."""
        if self._find(run.id) is not None:
            self.inbox.append((inbox, "duplicate"))
            return
        state, decision = create(plan, run, self.now)
        touched = self.touched[run.id] = Touched(state, new=True, actors=[actor])
        self._take(run.id, touched, decision)
        self.inbox.append((inbox, "applied"))

    def take(self, incoming: Incoming) -> None:
        """Advance the event's run; a run with a defect is set aside alone."""
        result = self._advance(incoming)
        if incoming.inbox is not None:
            self.inbox.append((incoming.inbox, result or "applied"))
        if result is not None:
            self.ignored.append((incoming, result))

    def _advance(self, incoming: Incoming) -> str | None:
        touched = self.touch(incoming.run)
        if touched is None:
            if isinstance(incoming.event, Finished):
                self.strays.append(_ended(incoming.run, incoming.event))
            return "quarantined" if incoming.run in self.defects else "no such run"
        event = incoming.event
        assert not isinstance(event, Poison)
        try:
            decision = advance(touched.state, event, self.now)
        except DefectError as defect:
            self.set_aside(incoming.run, defect)
            return "quarantined"
        except Exception as error:  # one run's surprise must not stop the others
            story = {"event": repr(event)[:2000]}
            surprise = DefectError("unexpected", f"{type(error).__name__}: {error}", story)
            self.set_aside(incoming.run, surprise)
            return "quarantined"
        if decision.ignored is None:
            if incoming.actor != "coordinator":
                touched.actors.append(incoming.actor)
                touched.notes.append(_note(incoming, None))
        elif incoming.actor != "coordinator":
            touched.notes.append(_note(incoming, decision.ignored))
        if decision.ignored is None and isinstance(event, Finished):
            self._note_finished(touched.state, event)
        self._take(incoming.run, touched, decision)
        return decision.ignored

    def _note_finished(self, state: RunState, event: Finished) -> None:
        self.finished.append(event)
        planned = state.plan.steps[attempted_step(event.attempt)[0]]
        if event.started_at is not None and event.finished_at is not None:
            queue = step_queue(state.run.team, planned.resource_class)
            self._durations.append((queue, event.finished_at - event.started_at))

    def touch(self, run: str) -> Touched | None:
        """Return the run's overlay, laid now if need be."""
        if run in self.defects:
            return None
        if run not in self.touched:
            state = self._find(run)
            if state is None:
                return None
            self.touched[run] = Touched(state.overlay())
        return self.touched[run]

    def set_aside(self, run: str, defect: DefectError) -> None:
        """Drop all that the batch did to this run; it will be quarantined."""
        self.touched.pop(run, None)
        self.defects[run] = defect
        self.effects = [(r, e) for r, e in self.effects if r != run]

    def _take(self, run: str, touched: Touched, decision: Decision) -> None:
        touched.take(decision)
        self.effects.extend((run, effect) for effect in decision.effects)

    def conditions(self) -> list[tuple[str, str]]:
        """Remove and return the (run, step) whose conditions are to be evaluated."""
        found = [(run, e.step) for run, e in self.effects if isinstance(e, Decide)]
        self.effects = [(run, e) for run, e in self.effects if not isinstance(e, Decide)]
        return found

    # --- what is to be written -------------------------------------------------------------------

    def created(self) -> list[RunState]:
        return [t.state for t in self.touched.values() if t.new]

    def run_moves(self) -> list[RunMoved]:
        return [
            RunMoved(t.run_before, t.state.run)
            for t in self.touched.values()
            if t.run_before is not None and not t.new
        ]

    def step_moves(self) -> list[tuple[str, StepMoved]]:
        return [
            (run, move)
            for run, t in self.touched.items()
            if not t.new
            for key, move in t.moves.items()
            if key not in t.made
        ]

    def children_made(self) -> list[tuple[Run, PlanStep, Step]]:
        """Return the children that are new in runs which are not."""
        return [
            (t.state.run, t.state.plan.of(key), t.state.steps[key])
            for t in self.touched.values()
            if t.made and not t.new
            for key in t.made
        ]

    def expanded(self) -> list[tuple[str, Step]]:
        """Return the steps of stored runs whose items or progress have become known, or others."""
        return [
            (run, move.after)
            for run, t in self.touched.items()
            if not t.new
            for move in t.moves.values()
            if move.after.items is not move.before.items
            or move.after.progress is not move.before.progress
        ]

    def made(self) -> list[AttemptMade]:
        return [c for c in self._changes() if isinstance(c, AttemptMade)]

    def ended(self) -> list[AttemptEnded]:
        return [c for c in self._changes() if isinstance(c, AttemptEnded)]

    def stops(self) -> list[StopAttempts]:
        return [e for _, e in self.effects if isinstance(e, StopAttempts)]

    def audit(self) -> list[AuditEntry]:
        """Return one entry a run: every transition in order, and what people asked."""
        entries = []
        for touched in self.touched.values():
            transitions = [*touched.notes, *_transitions(touched.changes)]
            if transitions:
                run = touched.state.run
                actor = touched.actors[0] if touched.actors else "coordinator"
                entries.append(AuditEntry(run.id, run.team, actor, transitions))
        return entries

    def durations(self) -> list[tuple[str, timedelta]]:
        """Return how long the attempts that ended had run, with their queues."""
        return self._durations

    def queue_waits(self) -> list[tuple[str, timedelta]]:
        """Return how long the steps that were admitted had been ready, with their queues."""
        waits = []
        for made in self.made():
            ready_at = self.touched[made.run].state.steps[made.step].ready_at
            if ready_at is not None:
                waits.append((made.queue, max(timedelta(), self.now - ready_at)))
        return waits

    def has_writes(self) -> bool:
        return bool(
            self.inbox
            or self.defects
            or any(t.changes or t.notes for t in self.touched.values())
            or self.stops()
            or self.strays
        )

    def _changes(self) -> Iterable[Change]:
        return (c for t in self.touched.values() for c in t.changes)


def _ended(run: str, event: Finished) -> AttemptEnded:
    return AttemptEnded(
        event.attempt,
        run,
        event.fence,
        event.outcome,
        event.reason,
        event.exit_code,
        event.error,
        event.started_at,
        event.finished_at,
        event.log_bytes,
        event.expired,
    )


def _note(incoming: Incoming, ignored: str | None) -> dict[str, Any]:
    asked = type(incoming.event).__name__
    note = {"entity": "request", "asked": asked, "actor": incoming.actor}
    note |= details(incoming.event)
    return {**note, "ignored": ignored} if ignored else note


def _transitions(changes: Iterable[Change]) -> Iterable[Mapping[str, Any]]:
    for change in changes:
        match change:
            case RunCreated(run):
                yield {"entity": "run", "to": str(run.status)}
            case RunMoved(before, after):
                yield _move("run", None, str(before.status), str(after.status), after.reason)
            case ChildMade(after):
                yield {"entity": "step", "id": after.key, "to": str(after.status)}
            case StepMoved(before, after):
                if (before.status, before.reason) == (after.status, after.reason):
                    continue  # a timer was set or taken off
                yield _move("step", after.key, str(before.status), str(after.status), after.reason)
            case AttemptMade():
                yield {"entity": "attempt", "id": change.attempt, "to": "dispatched"}
            case AttemptEnded():
                yield _move("attempt", change.attempt, "running", change.outcome, change.reason)


def _move(
    entity: str, id: str | None, before: str, after: str, reason: str | None
) -> dict[str, Any]:
    move = {"entity": entity, "id": id, "from": before, "to": after, "reason": reason}
    return {k: v for k, v in move.items() if v is not None}
