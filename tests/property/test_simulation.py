"""Simulated runs of random definitions keep every invariant; recorded ones take what they must."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.plan import build
from headway.plan.children import parent_of
from headway.simulation.parts import LOGICAL_DATE, OUTCOMES, Assumed, Simulated
from headway.spec import load
from headway.spec.joining import RULES
from headway_coordinator.engine import invariants
from headway_coordinator.engine.model import Run
from headway_coordinator.engine.states import RUN_TERMINAL, RunStatus
from headway_coordinator.simulation import simulate
from headway_coordinator.simulation.running import Simulation
from tests.property.test_recorded_workflows import GRAPHS, SLOTS, Graph, reference
from tests.unit.engine.building import queued_run

SECONDS = st.sampled_from(["500ms", "2s", "5s"])
CLASSES = ("small", "large")
STATES_OF_ENDED_STEPS = {"succeeded", "failed", "skipped", "cancelled", "upstream_failed"}


@st.composite
def step(draw: st.DrawFn, before: list[str]) -> dict[str, Any]:
    made: dict[str, Any] = {"wait": draw(SECONDS)}
    if draw(st.integers(0, 5)):
        made = {"run": "x", "class": draw(st.sampled_from(CLASSES))}
        made["outputs"] = {"n": "int"}
    optional: dict[str, st.SearchStrategy[Any]] = {
        "when": st.sampled_from(RULES),
        "if": st.sampled_from(["1 < 2", "1 > 2", "int(params.text) > 1"]),
        "retry": st.fixed_dictionaries({"max": st.integers(0, 2), "delay": SECONDS}),
        "timeout": SECONDS,
        "queue_timeout": SECONDS,
        "allow_failure": st.booleans(),
    }
    if "run" in made:
        optional["foreach"] = st.sampled_from([[1], [1, 2, 3]])
        optional["env"] = st.just({"N": "${{ int(params.text) }}"})
    for key, value in optional.items():
        if not draw(st.integers(0, 4)):
            made[key] = draw(value)
    if draw(st.integers(0, 3)) and before:
        made["needs"] = draw(st.lists(st.sampled_from(before), min_size=1, max_size=3, unique=True))
    return made


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Return a definition of up to ten steps, some of them in `finally`."""
    groups: dict[str, dict[str, Any]] = {"steps": {}, "finally": {}}
    for group, prefix, most in (("steps", "s", 8), ("finally", "z", 2)):
        for index in range(draw(st.integers(1 if group == "steps" else 0, most))):
            groups[group][f"{prefix}{index}"] = draw(step(list(groups[group])))
    head: dict[str, Any] = {"headway": 1, "pipeline": "p", "team": "t", "owner": "o"}
    head["params"] = {"text": {"type": "string", "default": "x"}}
    if not draw(st.integers(0, 3)):
        head["timeout"] = draw(SECONDS)
    if not draw(st.integers(0, 3)):
        head["overlap"] = "queue"
    return {**head, **groups}


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], Assumed]:
    document = draw(documents())
    steps = {**document["steps"], **document["finally"]}
    performed = [name for name, each in steps.items() if "run" in each]
    outcomes: dict[str, str] = {}
    for name in steps:
        if not draw(st.integers(0, 2)):
            outcome = draw(st.sampled_from(OUTCOMES if name in performed else ("skipped",)))
            attempt = "" if outcome == "skipped" else draw(st.sampled_from(["", "#1", "#2"]))
            outcomes[name + attempt] = outcome
    durations = {
        name: timedelta(seconds=draw(st.sampled_from([0, 0.25, 1, 3, 9]))) for name in performed
    }
    slots = {name: draw(st.sampled_from([0, 1, 1, 2, 9])) for name in CLASSES}
    return document, Assumed(LOGICAL_DATE, outcomes=outcomes, durations=durations, slots=slots)


def walk(document: dict[str, Any], assumed: Assumed) -> Simulation:
    """Move a run to its end and check it after every moment."""
    spec = load(json.dumps(document), "f").spec
    assert spec is not None
    plan = build(spec.canonical, spec.digest)
    simulation = Simulation(plan, run_of(plan.team, plan.digest), assumed)
    before = simulation.now
    while simulation.move():
        assert simulation.state is not None
        assert invariants.check(simulation.state) == []
        assert simulation.now >= before
        before = simulation.now
        for queue, running in simulation.slots.running().items():
            assert 0 <= running <= assumed.slots[queue.removeprefix("t.")]
        assert all(count >= 0 for count in simulation.slots.unclaimed().values())
    return simulation


def run_of(team: str, digest: str) -> Run:
    return Run(
        *("0" * 26, team, "p", digest, RunStatus.QUEUED, {"text": "x"}, "ann", 0),
        *(LOGICAL_DATE, LOGICAL_DATE),
    )


@settings(max_examples=200, deadline=None)
@given(cases())
def test_invariants_hold_at_every_moment_and_all_steps_end(
    case: tuple[dict[str, Any], Assumed],
) -> None:
    document, assumed = case
    simulation = walk(document, assumed)
    result = simulation.result()
    assert simulation.state is not None
    if simulation.state.run.status in RUN_TERMINAL:
        assert {step.state for step in result.steps} <= STATES_OF_ENDED_STEPS
        assert all(step.finished_s is not None for step in result.steps)
    else:
        stuck = {step.reason for step in result.steps if step.state == "ready"}
        assert stuck == {"no_worker"}
        assert 0 in assumed.slots.values()
    check(document, result)


def check(document: dict[str, Any], result: Simulated) -> None:
    """Assert what holds of any result, worked out from the definition alone."""
    steps = {**document["steps"], **document["finally"]}
    found = {step.name: step for step in result.steps}
    assert {parent_of(name) for name in found} == steps.keys()
    for key, step in found.items():
        name = parent_of(key)
        assert step.attempts <= steps[name].get("retry", {}).get("max", 0) + 1 + 3
        assert all(wait.seconds > 0 for wait in step.waits)
        if step.finished_s is not None:
            assert (step.started_s or 0.0) <= step.finished_s <= result.makespan_s
        if step.started_s is not None and "when" not in steps[name]:
            for need in steps[name].get("needs", ()):
                assert found[need].finished_s is not None
                assert (found[need].finished_s or 0.0) <= step.started_s
    assert set(result.critical_path) <= {s.name for s in result.steps if s.started_s is not None}


@settings(max_examples=50, deadline=None)
@given(cases())
def test_the_same_gives_the_same(case: tuple[dict[str, Any], Assumed]) -> None:
    document, assumed = case
    spec = load(json.dumps(document), "f").spec
    assert spec is not None
    first, second = (simulate(spec.canonical, spec.digest, assumed) for _ in range(2))
    assert first == second
    assert first == walk(document, assumed).result()


@pytest.mark.parametrize("slots", SLOTS)
@pytest.mark.parametrize("path", GRAPHS, ids=lambda p: p.stem)
def test_a_recorded_workflow_takes_what_a_reference_takes(path: Path, slots: int) -> None:
    """The reference is a scheduler of its own, which knows nothing of the engine."""
    graph = Graph(json.loads(path.read_text()))
    assumed = Assumed(LOGICAL_DATE, durations=graph.times, slots={"small": slots})
    simulation = Simulation(graph.plan, queued_run(graph.plan), assumed)
    while simulation.move():
        pass
    assert simulation.state is not None
    run = simulation.state.run
    assert run.status is RunStatus.SUCCEEDED
    assert run.finished_at is not None
    assert run.finished_at - run.created_at == reference(graph, slots)


@pytest.mark.parametrize("path", GRAPHS, ids=lambda p: p.stem)
def test_with_slots_for_all_the_critical_path_is_the_longest(path: Path) -> None:
    graph = Graph(json.loads(path.read_text()))
    assumed = Assumed(LOGICAL_DATE, durations=graph.times, slots={"small": len(graph.times)})
    simulation = Simulation(graph.plan, queued_run(graph.plan), assumed)
    while simulation.move():
        pass
    path_taken = simulation.result().critical_path
    took = sum((graph.times[step] for step in path_taken), timedelta())
    assert took == max(graph.tails.values())
    assert all(a in graph.needs[b] for a, b in pairwise(path_taken))
