"""The graph: order, edges, and nothing lost on the way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from headway.errors import DefectError
from headway.plan import Kind, Plan, When, build
from headway.spec import load

HEAD = "headway: 1\npipeline: p\nteam: t\nowner: o\n"


def canonical(text: str) -> dict[str, Any]:
    loaded = load(HEAD + text, "f")
    assert loaded.spec is not None, loaded.problems
    return loaded.spec.canonical


def plan(text: str) -> Plan:
    return build(canonical(text))


def test_steps_come_after_their_needs_and_else_in_the_order_of_the_file() -> None:
    made = plan(
        "steps: {d: {run: x, needs: [b, c]}, b: {run: x, needs: [a]}, z: {run: x},"
        " a: {run: x}, c: {run: x}}\nfinally: {e: {run: x, needs: [f]}, f: {run: x}}"
    )
    assert [step.key for step in made.steps] == ["z", "a", "c", "b", "d", "f", "e"]
    assert [step.index for step in made.steps] == list(range(7))
    assert [step.key for step in made.steps if step.final] == ["f", "e"]


def test_edges_go_both_ways() -> None:
    made = plan("steps: {a: {run: x}, b: {run: x, needs: [a]}, c: {run: x, needs: [a, b]}}")
    assert made.by_key["c"].needs == ("a", "b")
    assert dict(made.dependents) == {"a": ("b", "c"), "b": ("c",), "c": ()}


def test_a_step_carries_what_the_definition_says() -> None:
    made = plan(
        """
timeout: 4h
priority: 7
code: {path: src}
steps:
  a: {run: x}
  b:
    python: m:f
    needs: [a]
    when: any_failed
    if: steps.a.state == "failed"
    with: {n: 1}
    env: {A: x}
    class: io
    outputs: {rows: int}
    artifacts: [out/*]
    inputs: {raw: "${{ steps.a.artifacts }}"}
    retry: {max: 2, backoff: fixed, delay: 1s, cap: 10s, jitter: false}
    timeout: 5m
    queue_timeout: 1m
    workdir: sub
    interpreter: python3.12
    allow_failure: true
"""
    )
    step = made.by_key["b"]
    assert (made.timeout, made.priority, made.code) == (timedelta(hours=4), 7, "src")
    assert (step.kind, step.when, step.resource_class) == (Kind.PYTHON, When.ANY_FAILED, "io")
    assert step.condition == 'steps.a.state == "failed"'
    assert (step.timeout, step.queue_timeout) == (timedelta(minutes=5), timedelta(minutes=1))
    assert (step.retry.max, step.retry.backoff, step.retry.jitter) == (2, "fixed", False)
    assert (step.retry.delay, step.retry.cap) == (timedelta(seconds=1), timedelta(seconds=10))
    assert step.allow_failure
    assert step.body == {
        "python": "m:f",
        "env": {"A": "x"},
        "with": {"n": 1},
        "outputs": {"rows": "int"},
        "artifacts": ["out/*"],
        "inputs": {"raw": "${{ steps.a.artifacts }}"},
        "workdir": "sub",
        "interpreter": "python3.12",
    }


def test_the_digest_is_the_definition_s_own() -> None:
    loaded = load(HEAD + "steps: {a: {run: x}}", "f")
    assert loaded.spec is not None
    assert build(loaded.spec.canonical).digest == loaded.spec.digest
    assert build(loaded.spec.canonical, "stored").digest == "stored"


def test_a_graph_that_nobody_validated_is_a_defect() -> None:
    unknown = canonical("steps: {a: {run: x}}")
    unknown["steps"][0]["needs"] = ["b"]
    circle = canonical("steps: {a: {run: x}}")
    circle["steps"][0]["needs"] = ["a"]
    for broken in (unknown, circle):
        with pytest.raises(DefectError, match="not validated"):
            build(broken)


def test_ten_thousand_steps_make_a_plan() -> None:
    chain = "".join(f"  s{i}: {{run: x, needs: [s{i - 1}]}}\n" for i in range(1, 10_000))
    made = plan("steps:\n" + chain + "  s0: {run: x}\n")
    assert [made.steps[0].key, made.steps[-1].key, len(made.steps)] == ["s0", "s9999", 10_000]
