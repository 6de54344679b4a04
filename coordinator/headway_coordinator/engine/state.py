"""A run in memory, and `apply`, the one place where it moves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Generic, TypeVar

from headway.plan.children import child_index, child_key, parent_of
from headway.plan.model import Plan, PlanStep
from headway_coordinator.engine.model import (
    AttemptEnded,
    AttemptMade,
    Change,
    ChildMade,
    Children,
    Run,
    RunCreated,
    RunMoved,
    Step,
    StepMoved,
    Tally,
)
from headway_coordinator.engine.states import STEP_TERMINAL, StepStatus

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
