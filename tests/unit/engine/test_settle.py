"""Cascades, `finally`, verdicts, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from headway.plan.model import Plan, PlanStep
from headway_coordinator.engine.advance import advance, create
from headway_coordinator.engine.draft import Draft
from headway_coordinator.engine.events import Admitted, Finished
from headway_coordinator.engine.model import Decision, Step, StepMoved
from headway_coordinator.engine.settle import begin, blamed_step, settle
from headway_coordinator.engine.state import RunState, apply
from headway_coordinator.engine.states import StepStatus
from tests.unit.engine.building import Journey, plan, planned, queued_run, transcript


def test_a_diamond_joins_when_both_sides_have_ended() -> None:
    run = Journey.of(planned("a"), planned("b", "a"), planned("c", "a"), planned("d", "b", "c"))
    run.perform("a", "b")
    assert run.steps == "a=succeeded b=succeeded c=ready d=pending"
    run.perform("c")
    assert run.steps == "a=succeeded b=succeeded c=succeeded d=ready"


def test_a_failure_cascades_to_the_end_in_one_decision() -> None:
    run = Journey.of(planned("a"), planned("b", "a"), planned("c", "b"), planned("d", "c", "a"))
    run.admit("a")
    assert transcript(run.finish("a", "failed")) == [
        "attempt r-0-1 failed",
        "a running → failed (failed)",
        "b pending → upstream_failed (upstream)",
        "d pending → upstream_failed (upstream)",
        "c pending → upstream_failed (upstream)",
        "run running → failed (step a failed)",
    ]


def test_a_handler_runs_when_something_failed_and_the_run_fails_still() -> None:
    run = Journey.of(planned("a"), planned("b"), planned("h", "a", "b", when="any_failed"))
    run.perform("a", outcome="failed")
    assert run.steps == "a=failed b=ready h=ready"
    run.perform("h", "b")
    assert run.status == "failed"


def test_a_handler_is_skipped_when_nothing_failed() -> None:
    run = Journey.of(planned("a"), planned("h", "a", when="any_failed"))
    run.perform("a")
    assert (run.steps, run.status) == ("a=succeeded h=skipped", "succeeded")


def test_a_step_that_always_runs_does_not_wait_for_its_needs() -> None:
    run = Journey.of(planned("a"), planned("b", "a", when="always"))
    assert run.steps == "a=ready b=ready"


def test_finally_waits_for_every_main_step_and_runs_after_a_failure() -> None:
    run = Journey.of(
        planned("a"),
        planned("b"),
        planned("y", final=True),
        planned("z", "y", final=True),
    )
    run.perform("a", outcome="failed")
    assert run.steps == "a=failed b=ready y=pending z=pending"
    run.perform("b")
    assert run.steps == "a=failed b=succeeded y=ready z=pending"
    run.perform("y", "z")
    assert (run.status, run.state.run.reason) == ("failed", "step a failed")


def test_finally_steps_become_ready_in_the_plans_order() -> None:
    run = Journey.of(planned("a"), planned("z", final=True), planned("y", final=True))
    assert transcript(run.perform("a")) == [
        "attempt r-0-1 succeeded",
        "a running → succeeded",
        "z pending → ready",
        "y pending → ready",
    ]


def test_a_paused_run_starts_nothing_new() -> None:
    run = Journey.of(planned("a"), planned("b", "a"))
    run.admit("a")
    run.pause()
    run.finish("a")
    assert run.steps == "a=succeeded b=pending"


def test_a_failed_finally_fails_the_run() -> None:
    run = Journey.of(planned("a"), planned("z", final=True))
    run.perform("a")
    run.perform("z", outcome="failed")
    assert (run.status, run.state.run.reason) == ("failed", "step z failed")


def test_a_run_of_skipped_steps_only_succeeds_with_finally() -> None:
    run = Journey.of(planned("a", condition="x"), planned("z", final=True))
    run.decide("a", False)
    assert run.steps == "a=skipped z=ready"


def test_the_verdict_names_the_first_step_that_failed() -> None:
    run = Journey.of(planned("a"), planned("b", "a"), planned("c"))
    run.perform("c", outcome="failed")
    run.perform("a", outcome="failed")
    assert run.state.run.reason == "step a failed"
    assert blamed_step(run.state.run.reason) == "a"


@pytest.mark.parametrize("reason", [None, "", "step a is wrong", "timed_out", "a step failed"])
def test_another_reason_blames_no_step(reason: str | None) -> None:
    assert blamed_step(reason) is None


# --- cost: counted, not timed --------------------------------------------------------------------


class CountedMap(dict[str, Any]):
    """A mapping that counts each time it is read or walked."""

    reads = 0

    def __getitem__(self, key: str) -> Any:
        self.reads += 1
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[str]:
        self.reads += len(self)
        return super().__iter__()

    def values(self) -> Any:
        self.reads += len(self)
        return super().values()


class CountedSteps(tuple[PlanStep, ...]):
    """A plan's steps, which counts each one that is looked at."""

    reads: list[int]

    def __getitem__(self, index: Any) -> Any:
        self.reads[0] += 1
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[PlanStep]:
        for step in super().__iter__():
            self.reads[0] += 1
            yield step

    def __reversed__(self) -> Iterator[PlanStep]:
        for index in range(len(self) - 1, -1, -1):
            yield self[index]


class Counted:
    """A run whose look-ups are counted."""

    def __init__(self, steps: list[PlanStep], succeeded: set[str]) -> None:
        graph = plan(*steps)
        counted = CountedSteps(graph.steps)
        counted.reads = [0]
        graph = replace(
            graph,
            steps=counted,
            by_key=CountedMap(graph.by_key),
            dependents=CountedMap(graph.dependents),
        )
        journey = _begun(graph, succeeded)
        self.state = RunState(
            graph,
            journey.run,
            CountedMap(journey.steps),
            CountedMap(journey.tallies),
            journey.open_main,
            journey.open_final,
            journey.children,
        )

    def finish(self, key: str) -> tuple[Decision, int]:
        """End the step; return the decision and how many look-ups it cost."""
        now = self.state.run.created_at
        apply(self.state, advance(self.state, Admitted(key, "q", {}), now).changes)
        live = self.state.steps[key].live
        assert live is not None
        before = self._reads()
        decision = advance(self.state, Finished(live.id, live.fence, "succeeded"), now)
        apply(self.state, decision.changes)
        return decision, self._reads() - before

    def _reads(self) -> int:
        graph = self.state.plan
        maps: list[Any] = [graph.by_key, graph.dependents, self.state.steps, self.state.tallies]
        steps: Any = graph.steps
        return int(sum(m.reads for m in maps) + steps.reads[0])


def _begun(graph: Plan, succeeded: set[str]) -> RunState:
    run = queued_run(graph)
    state, decision = create(graph, run, run.created_at)
    apply(state, decision.changes)
    steps = [
        Step(s.key, StepStatus.SUCCEEDED, finished_at=run.created_at) if s.key in succeeded else s
        for s in state.steps.values()
    ]
    return RunState.of(graph, state.run, steps)


def fan_in(width: int) -> list[PlanStep]:
    keys = [f"s{i}" for i in range(width)]
    return [*map(planned, keys), planned("join", *keys), planned("z", final=True)]


def fan_out(width: int) -> list[PlanStep]:
    return [planned("root"), *(planned(f"s{i}", "root") for i in range(width))]


def many_then_finally(width: int) -> list[PlanStep]:
    finals = [planned("y", final=True), planned("z", "y", final=True)]
    return [*(planned(f"s{i}") for i in range(width)), *finals]


def test_one_step_of_ten_thousand_costs_what_one_of_ten_costs() -> None:
    small, large = (Counted(fan_in(width), set()).finish("s3") for width in (10, 10_000))
    assert len(large[0].changes) == 2
    assert large[1] == small[1]
    assert large[1] < 40


def test_a_fan_out_costs_its_edges() -> None:
    small, large = (Counted(fan_out(width), set()).finish("root") for width in (10, 1_000))
    assert sum(isinstance(c, StepMoved) for c in large[0].changes) == 1_001
    fixed = small[1] - (large[1] - small[1]) / 99
    assert 0 <= fixed < 40
    assert (large[1] - small[1]) / 990 < 20


def test_a_finally_step_does_not_walk_the_main_steps() -> None:
    costs = []
    for width in (10, 10_000):
        main = {f"s{i}" for i in range(width)}
        run = Counted(many_then_finally(width), main)
        draft = Draft(run.state, run.state.run.created_at)
        begin(draft)
        settle(draft)
        apply(run.state, draft.decision().changes)
        costs.append(run.finish("y")[1])
    assert costs[0] == costs[1]


@pytest.mark.parametrize("width", [2, 5])
def test_a_long_chain_ends_without_recursion(width: int) -> None:
    keys = [f"s{i}" for i in range(width * 1000)]
    steps = [planned("s0"), *(planned(b, a) for a, b in pairwise(keys))]
    run = Journey.of(*steps)
    assert len(run.perform("s0", outcome="failed").changes) == width * 1000 + 2
    assert run.status == "failed"
