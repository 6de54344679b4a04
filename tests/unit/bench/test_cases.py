"""The graphs of `headway bench`: their sizes, and that they are valid definitions."""

from __future__ import annotations

import pytest
import yaml

from headway.errors import DefinitionError
from headway.spec import load
from headway_coordinator.bench.cases import Case, cases, definition, latency, sizes
from headway_coordinator.bench.command import CASES, chosen_cases


def test_the_cases_are_those_that_are_promised() -> None:
    found = {case.name: (case.runs, sum(case.layers)) for case in cases(quick=False)}
    assert found == {
        "W1": (1, 40),
        "W3": (1, 102),
        "W4": (1, 1002),
        "W5": (100, 10),
        "W8": (10, 1000),
    }


def test_every_size_of_graph_bears_the_same_load() -> None:
    assert [(sum(c.layers), c.steps) for c in sizes(quick=False)] == [
        *((size, 10_000) for size in (10, 100, 1000, 5000, 10_000)),
        (10_000, 10_000),  # as items
    ]


def test_what_only_sleeps_has_an_ideal() -> None:
    [sleeps] = [case for case in cases(quick=False) if case.sleep_ms]
    assert sleeps.ideal_s == 10.0


@pytest.mark.parametrize("case", [*cases(quick=True), *sizes(quick=True), latency(quick=True)])
def test_definitions_hold_every_step_and_every_edge(case: Case) -> None:
    text = definition(case, "code")
    assert not load(text, "bench.yaml").problems
    steps = yaml.safe_load(text)["steps"]
    if case.items:
        [items] = [step["foreach"] for step in steps.values() if "foreach" in step]
        assert len(items) == case.layers[1]
        return
    assert len(steps) == sum(case.layers)
    edges = sum(len(step.get("needs", ())) for step in steps.values())
    assert edges == sum(a * b for a, b in zip(case.layers, case.layers[1:], strict=False))


@pytest.mark.parametrize("words", [(), ("w4", "W1"), ("W1, w4",)])
def test_cases_are_chosen_by_name_in_their_own_order(words: tuple[str, ...]) -> None:
    assert chosen_cases(words) == (("W1", "W4") if words else CASES)


def test_an_unknown_case_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DefinitionError, match="no case W2") as refused:
        chosen_cases(["W2"])
    assert refused.value.hint == "one of W1, W3, W4, W5, W6, W7, W8, W9"
