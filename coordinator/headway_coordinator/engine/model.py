"""What a run is in memory, the changes that move it, and `apply`, the one place where it moves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from headway.plan.children import child_index, child_key, parent_of
from headway.plan.model import Plan, PlanStep
from headway_coordinator.engine.states import STEP_TERMINAL, RunStatus, StepStatus

Outputs = Mapping[str, Any] | tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Paused:
    """Who holds a run back, since when, and why."""

    at: datetime
    by: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A run's own facts. `verdict` is the terminal state that a cancelling run will take.

    `request` is the number of retries that people asked for; `actor` who started it. `group` names
    the runs that it takes turns with; without one it starts at once. `origin` is JSON: what started
    it (`trigger`, `event`, `backfill`) and its data interval, as far as there is any.
    """

    id: str
    team: str
    pipeline: str
    digest: str
    status: RunStatus
    params: Mapping[str, Any]
    actor: str
    priority: int
    logical_date: datetime
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    deadline_at: datetime | None = None
    verdict: RunStatus | None = None
    reason: str | None = None
    request: int = 0
    group: str | None = None
    origin: Mapping[str, Any] = field(default_factory=dict, hash=False)
    paused: Paused | None = None


@dataclass(frozen=True, slots=True)
class Live:
    """The attempt of a step that has not ended: dispatched or running, one state in memory."""

    id: str
    no: int
    fence: int
    queue: str


@dataclass(frozen=True, slots=True)
class Step:
    """A step's facts. `attempts` were made in all; `failures` and `losses` since a reopening.

    A step that runs for each item has its `items` once they are known, no attempts of its own, and
    in the end its children's outputs as a list. A child is a step too, such as `transform[3]`.

    `due_at` is when the step must be looked at: the end of a retry wait or of a deferral, or of the
    time that it may wait in its queue.
    """

    key: str
    status: StepStatus = StepStatus.PENDING
    attempts: int = 0
    failures: int = 0
    losses: int = 0
    live: Live | None = None
    reason: str | None = None
    due_at: datetime | None = None
    ready_at: datetime | None = None
    finished_at: datetime | None = None
    outputs: Outputs = field(default_factory=dict)
    artifacts: tuple[Mapping[str, Any], ...] = ()
    error: Mapping[str, Any] | None = None
    items: tuple[Any, ...] | None = None

    @property
    def terminal(self) -> bool:
        return self.status in STEP_TERMINAL


def plain_outputs(step: Step) -> Any:
    """Return the step's outputs as JSON: an object, or a list of them."""
    outputs = step.outputs
    return dict(outputs) if isinstance(outputs, Mapping) else [dict(each) for each in outputs]


class Tally(NamedTuple):
    """How a step's needs have ended so far."""

    succeeded: int = 0
    failed: int = 0
    upstream_failed: int = 0
    skipped: int = 0

    @property
    def done(self) -> int:
        return self.succeeded + self.failed + self.upstream_failed + self.skipped


class Children(NamedTuple):
    """How the children of a step stand. `next` is the first one that has not been started since
    the run was opened; `bad` ones have failed or been cancelled."""

    next: int = 0
    open: int = 0
    ok: int = 0
    bad: int = 0


# --- changes -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunCreated:
    """The run is new; storage inserts it and its steps as the rest of the decision leaves them."""

    run: Run


@dataclass(frozen=True, slots=True)
class RunMoved:
    before: Run
    after: Run


@dataclass(frozen=True, slots=True)
class StepMoved:
    before: Step
    after: Step


@dataclass(frozen=True, slots=True)
class ChildMade:
    """A child that was not there before; storage inserts it as the decision leaves it."""

    after: Step


@dataclass(frozen=True, slots=True)
class AttemptMade:
    """A new attempt, born `dispatched`. `work` is the resolved step (JSON) for the claim."""

    attempt: str
    run: str
    step: str
    no: int
    fence: int
    team: str
    queue: str
    work: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """The attempt ends in the database. `expired`: only if its lease has run out there."""

    attempt: str
    run: str
    fence: int
    outcome: str
    reason: str | None = None
    exit_code: int | None = None
    error: Mapping[str, Any] | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    log_bytes: int = 0
    expired: bool = False


Change = RunCreated | RunMoved | StepMoved | ChildMade | AttemptMade | AttemptEnded


# --- effects -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Decide:
    """Evaluate the step's `if`; the answer is a `Decided` or `Unresolvable` event."""

    step: str


@dataclass(frozen=True, slots=True)
class StopAttempts:
    """Ask the rows: dispatched attempts are cancelled and come back as `Withdrawn` with `reason`.

    With `running`, the ones that a worker holds get a cancel request; without, they are left.
    """

    run: str
    attempts: tuple[str, ...]
    reason: str
    running: bool


Effect = Decide | StopAttempts


@dataclass(frozen=True, slots=True)
class Decision:
    """What an event does. `ignored` says why nothing happens: the event is stale or came twice."""

    changes: tuple[Change, ...] = ()
    effects: tuple[Effect, ...] = ()
    ignored: str | None = None


# --- state -------------------------------------------------------------------------------------

K = TypeVar("K")
V = TypeVar("V")


class Layer(MutableMapping[K, V], Generic[K, V]):
    """A mapping that keeps its writes to itself and reads through to the one below."""

    __slots__ = ("_below", "own")

    def __init__(self, below: Mapping[K, V]) -> None:
        self._below = below
        self.own: dict[K, V] = {}

    def __getitem__(self, key: K) -> V:
        try:
            return self.own[key]
        except KeyError:
            return self._below[key]

    def __setitem__(self, key: K, value: V) -> None:
        self.own[key] = value

    def __delitem__(self, key: K) -> None:
        raise TypeError("steps are never removed")

    def __iter__(self) -> Iterator[K]:
        yield from self._below
        yield from self._added()

    def __len__(self) -> int:
        return len(self._below) + sum(1 for _ in self._added())

    def _added(self) -> Iterator[K]:
        return (key for key in self.own if key not in self._below)


class RunState:
    """A run, its steps, and what follows from them: tallies of needs, counts of open steps.

    Children are among the `steps`; tallies and counts know their parents alone.
    """

    __slots__ = ("children", "open_final", "open_main", "plan", "run", "steps", "tallies")

    def __init__(
        self,
        plan: Plan,
        run: Run,
        steps: MutableMapping[str, Step],
        tallies: MutableMapping[str, Tally],
        open_main: int,
        open_final: int,
        children: MutableMapping[str, Children],
    ) -> None:
        self.plan = plan
        self.run = run
        self.steps = steps
        self.tallies = tallies
        self.open_main = open_main
        self.open_final = open_final
        self.children = children

    @classmethod
    def of(cls, plan: Plan, run: Run, steps: Iterable[Step]) -> RunState:
        """Return the state of `run` with `steps`; everything derived is computed here."""
        state = cls(plan, run, {s.key: Step(s.key) for s in plan.steps}, {}, 0, 0, {})
        state.children = {s.key: Children() for s in plan.steps if s.foreach is not None}
        state.tallies = {s.key: Tally() for s in plan.steps}
        for planned in plan.steps:
            if planned.final:
                state.open_final += 1
            else:
                state.open_main += 1
        for step in steps:
            if step.key in plan.by_key:
                apply(state, [StepMoved(state.steps[step.key], step)])
            else:
                apply(state, [ChildMade(step)])
        return state

    def children_of(self, key: str) -> Iterator[Step]:
        """Yield the children of a step that there are, in the order of its items."""
        for index in range(len(self.steps[key].items or ())):
            child = self.steps.get(child_key(key, index))
            if child is not None:
                yield child

    def overlay(self) -> RunState:
        """Return a state that starts as this one and moves alone."""
        return RunState(
            self.plan,
            self.run,
            Layer(self.steps),
            Layer(self.tallies),
            self.open_main,
            self.open_final,
            Layer(self.children),
        )


def apply(state: RunState, changes: Iterable[Change]) -> None:
    """Move `state` by `changes`; the only function that does."""
    for change in changes:
        match change:
            case RunMoved(after=run) | RunCreated(run=run):
                state.run = run
            case StepMoved(before, after) if after.key in state.plan.by_key:
                _apply_step(state, before, after)
            case StepMoved(before, after):
                _apply_child(state, before, after)
            case ChildMade(after):
                _apply_child(state, None, after)
            case AttemptMade() | AttemptEnded():
                pass  # rows of their own; in memory the step's `live` says the same


def _apply_step(state: RunState, before: Step, after: Step) -> None:
    state.steps[after.key] = after
    if not (before.terminal or after.terminal):
        return
    planned = state.plan.of(after.key)
    counted = {}
    if before.terminal:
        counted[tally_field(planned, before.status)] = -1
    if after.terminal:
        name = tally_field(planned, after.status)
        counted[name] = counted.get(name, 0) + 1
    if not any(counted.values()):
        return
    change = after.terminal - before.terminal
    if planned.final:
        state.open_final -= change
    else:
        state.open_main -= change
    for dependent in state.plan.dependents.get(after.key, ()):
        tally = state.tallies[dependent]
        state.tallies[dependent] = tally._replace(
            **{name: getattr(tally, name) + by for name, by in counted.items()}
        )


def _apply_child(state: RunState, before: Step | None, after: Step) -> None:
    state.steps[after.key] = after
    parent, index = parent_of(after.key), child_index(after.key) or 0
    children = state.children[parent]
    counts = children._asdict()
    for step, change in ((before, -1), (after, 1)):
        field_name = None if step is None else _standing(step.status)
        if field_name is not None:
            counts[field_name] += change
    if after.status is StepStatus.PENDING:
        counts["next"] = min(children.next, index)
    elif index == children.next:
        counts["next"] = _first_waiting(state, parent, index + 1)
    state.children[parent] = Children(**counts)


def _first_waiting(state: RunState, parent: str, index: int) -> int:
    while True:
        child = state.steps.get(child_key(parent, index))
        if child is None or child.status is StepStatus.PENDING:
            return index
        index += 1


def _standing(status: StepStatus) -> str | None:
    """Return how a child counts for its parent; one that waits or was skipped counts nowhere."""
    match status:
        case StepStatus.PENDING | StepStatus.SKIPPED:
            return None
        case StepStatus.SUCCEEDED:
            return "ok"
        case _ if status in STEP_TERMINAL:
            return "bad"
        case _:
            return "open"


def tally_field(planned: PlanStep, status: StepStatus) -> str:
    """Return how a step that ended in `status` counts for those that need it."""
    match status:
        case StepStatus.SUCCEEDED:
            return "succeeded"
        case StepStatus.SKIPPED:
            return "skipped"
        case StepStatus.UPSTREAM_FAILED:
            return "upstream_failed"
        case _:
            return "succeeded" if planned.allow_failure else "failed"
