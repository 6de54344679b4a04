"""Changes, layers and what is derived from rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headway_coordinator.engine.model import Step, StepMoved, Tally
from headway_coordinator.engine.state import Layer, RunState, apply
from headway_coordinator.engine.states import StepStatus
from tests.unit.engine.building import START, Journey, plan, planned, queued_run, snapshot


def test_a_layer_reads_through_and_keeps_its_writes() -> None:
    below = {"a": 1, "b": 2}
    layer = Layer(below)
    layer["b"] = 3
    assert (dict(layer), len(layer), layer.own) == ({"a": 1, "b": 3}, 2, {"b": 3})
    assert below == {"a": 1, "b": 2}
    with pytest.raises(TypeError, match="never removed"):
        del layer["a"]
    with pytest.raises(KeyError):
        layer["c"]


def test_overlays_stack_and_dropping_them_leaves_no_trace() -> None:
    run = Journey.of(planned("a"), planned("b", "a"))
    before = snapshot(run.state)
    first = run.state.overlay()
    ended = replace(first.steps["a"], status=StepStatus.SUCCEEDED, finished_at=START)
    apply(first, [StepMoved(first.steps["a"], ended)])
    second = first.overlay()
    apply(second, [StepMoved(ended, Step("a"))])
    assert first.tallies["b"] == Tally(succeeded=1)
    assert (second.tallies["b"], second.open_main) == (Tally(), 2)
    assert first.open_main == 1
    assert snapshot(run.state) == before


@pytest.mark.parametrize(
    ("status", "allow", "expected"),
    [
        (StepStatus.SUCCEEDED, False, Tally(succeeded=1)),
        (StepStatus.FAILED, False, Tally(failed=1)),
        (StepStatus.FAILED, True, Tally(succeeded=1)),
        (StepStatus.CANCELLED, False, Tally(failed=1)),
        (StepStatus.CANCELLED, True, Tally(succeeded=1)),
        (StepStatus.SKIPPED, True, Tally(skipped=1)),
        (StepStatus.UPSTREAM_FAILED, True, Tally(upstream_failed=1)),
        (StepStatus.RUNNING, False, Tally()),
    ],
)
def test_how_an_end_counts_for_the_dependents(
    status: StepStatus, allow: bool, expected: Tally
) -> None:
    graph = plan(planned("a", allow_failure=allow), planned("b", "a"), planned("z", final=True))
    state = RunState.of(graph, queued_run(graph), [Step("a", status)])
    assert state.tallies == {"a": Tally(), "b": expected, "z": Tally()}
    assert state.tallies["b"].done == sum(expected)
    assert (state.open_main, state.open_final) == (2 - expected.done, 1)
