"""What a worker is given: values typed as declared, environment as text, inputs as references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headway.expressions import ExpressionError, evaluate
from headway.plan.model import Kind, Plan, PlanStep
from headway_coordinator.application.resolving import Resolver, env_text, wake_time
from headway_coordinator.engine.events import Admitted, Decided, Deferred, Unresolvable
from headway_coordinator.engine.model import Step
from headway_coordinator.engine.state import RunState
from headway_coordinator.engine.states import StepStatus
from tests.unit.engine.building import QUEUE, START, plan, planned, queued_run

PART = {"path": "out/a.parquet", "sha256": "0" * 64, "size": 3}


class Counting:
    """Evaluates here and now, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def evaluate(self, source: str, context: Mapping[str, Any]) -> Any:
        self.asked.append(source)
        return evaluate(source, context)


def step(key: str, *needs: str, condition: str | None = None, **body: Any) -> PlanStep:
    return replace(planned(key, *needs, condition=condition), body={"run": "true", **body})


def state(
    *steps: PlanStep, params: Mapping[str, Any] | None = None, types: Any = None, **outputs: Any
) -> RunState:
    """Return a run of `steps` where those named in `outputs` have succeeded with them."""
    made: Plan = replace(plan(*steps), param_types=types or {})
    ended = [
        Step(key, StepStatus.SUCCEEDED, finished_at=START, outputs=values, artifacts=(PART,))
        for key, values in outputs.items()
    ]
    return RunState.of(made, replace(queued_run(made), params=params or {}), ended)


def work(of: RunState, key: str) -> Mapping[str, Any]:
    admitted = Resolver(Counting()).admission(of, key, QUEUE)
    assert isinstance(admitted, Admitted), admitted
    return admitted.work


def test_the_work_names_the_run_and_carries_the_body() -> None:
    given = work(state(replace(step("a"), timeout=timedelta(seconds=1.5))), "a")
    assert (given["run"], given["step"], given["kind"]) == ("r", "a", "run")
    assert given["timeout_ms"] == 1500
    assert given["body"]["run"] == "true"
    assert given["body"]["env"] == {}


def test_a_very_short_timeout_is_still_one() -> None:
    short = replace(step("a"), timeout=timedelta(microseconds=10))
    assert work(state(short), "a")["timeout_ms"] == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("", ""),
        (7, "7"),
        (1.5, "1.5"),
        (True, "true"),
        (2**70, "1180591620717411303424"),
        (None, "null"),
        ([1, "a"], '[1,"a"]'),
        ({"k": "ü"}, '{"k":"ü"}'),
    ],
)
def test_environment_variables_hold_text(value: Any, text: str) -> None:
    assert env_text(value) == text
    given = work(state(step("a", env={"V": "${{ params.v }}"}), params={"v": value}), "a")
    assert given["body"]["env"] == {"V": text}


def test_a_value_that_is_one_expression_keeps_its_type() -> None:
    body: dict[str, Any] = {"with": {"n": "${{ steps.a.outputs.n }}", "t": "n=${{ params.n }}"}}
    made = state(
        step("a"),
        step("b", "a", **body),
        params={"n": 2},
        a={"n": [1, 2]},
    )
    assert work(made, "b")["body"]["with"] == {"n": [1, 2], "t": "n=2"}


def test_declared_types_reach_the_expression() -> None:
    made = state(
        step("a", outputs={"ratio": "float"}),
        step("b", "a", condition="steps.a.outputs.ratio / 2.0 == 1.0"),
        step("c", "a", condition="params.at > timestamp('2026-01-01T00:00:00Z')"),
        params={"at": "2026-03-01T00:00:00Z"},
        types={"at": "datetime"},
        a={"ratio": 2},
    )
    resolver = Resolver(Counting())
    for key in ("b", "c"):
        assert resolver.condition(made, made.plan.by_key[key]) == Decided(key, True)


def test_inputs_are_references_and_leave_the_body() -> None:
    made = state(step("a"), step("b", "a", inputs={"raw": "${{ steps.a.artifacts }}"}), a={"n": 1})
    given = work(made, "b")
    assert given["inputs"] == {"raw": [PART]}
    assert "inputs" not in given["body"]


@pytest.mark.parametrize(
    "value",
    [1, "text", [1], [{"sha256": "0" * 64}], [{**PART, "sha256": "x"}], [{**PART, "size": -1}]],
)
def test_inputs_that_are_no_artifacts_fail_the_step(value: Any) -> None:
    reads = step("b", "a", inputs={"raw": "${{ steps.a.outputs.v }}"})
    made = state(step("a"), reads, a={"v": value})
    answer = Resolver(Counting()).admission(made, "b", QUEUE)
    assert answer == Unresolvable("b", "inputs.raw: expected the artifacts of a step")


def test_an_expression_without_a_value_fails_the_step() -> None:
    made = state(step("a"), step("b", "a", env={"N": "${{ steps.a.outputs.n }}"}), a={})
    answer = Resolver(Counting()).admission(made, "b", QUEUE)
    assert isinstance(answer, Unresolvable)
    assert "n" in answer.message


@pytest.mark.parametrize("value", [1, "true", None, [True]])
def test_a_condition_that_is_no_boolean_is_an_error(value: Any) -> None:
    made = state(step("a"), step("b", "a", condition="steps.a.outputs.v"), a={"v": value})
    answer = Resolver(Counting()).condition(made, made.plan.by_key["b"])
    assert isinstance(answer, Unresolvable)
    assert "not true or false" in answer.message


def test_a_step_that_did_not_succeed_has_a_state_and_no_outputs() -> None:
    made = state(step("a"), step("b", "a", condition="steps.a.state == 'pending'"))
    assert Resolver(Counting()).condition(made, made.plan.by_key["b"]) == Decided("b", True)


def test_plain_paths_and_bodies_without_expressions_need_no_evaluator() -> None:
    counting = Counting()
    resolver = Resolver(counting)
    made = state(
        step("a", env={"K": "v"}),
        step("b", "a", env={"N": "${{ steps.a.outputs.n }}"}, condition="steps.a.outputs.ok"),
        a={"n": 1, "ok": True},
    )
    resolver.admission(made, "a", QUEUE)
    resolver.admission(made, "b", QUEUE)
    resolver.condition(made, made.plan.by_key["b"])
    assert counting.asked == []


def test_what_one_run_is_given_does_not_change_what_the_next_is_given() -> None:
    resolver = Resolver(Counting())
    made = state(step("a", env={"K": "v"}, inputs={}))
    first = resolver.admission(made, "a", QUEUE)
    assert isinstance(first, Admitted)
    first.work["body"]["env"]["K"] = "changed"
    second = resolver.admission(made, "a", QUEUE)
    assert isinstance(second, Admitted)
    assert second.work["body"]["env"] == {"K": "v"}


@pytest.mark.parametrize(
    ("body", "wakes"),
    [
        ({"for": 90}, START + timedelta(seconds=90)),
        ({"for": "1h30m"}, START + timedelta(minutes=90)),
        ({"until": "2026-03-01T08:00:00+02:00"}, START),
        ({"until": "2026-03-01T07:00:00Z"}, datetime(2026, 3, 1, 7, tzinfo=UTC)),
    ],
)
def test_when_a_wait_ends(body: Any, wakes: datetime) -> None:
    assert wake_time(body, START) == wakes


@pytest.mark.parametrize(
    "body", [{"until": "2026-03-01T07:00:00"}, {"until": "soon"}, {"for": "x"}]
)
def test_a_wait_that_makes_no_sense_fails_its_step(body: Any) -> None:
    made = state(replace(planned("a", kind=Kind.WAIT), body={"wait": body}))
    answer = Resolver(Counting()).outside(made, "a", START)
    assert isinstance(answer, Unresolvable)
    assert answer.message.startswith("wait: ")


@pytest.mark.parametrize("body", [{"until": "9999-12-31T23:59:59-14:00"}, {"for": 1e15}])
def test_a_wait_beyond_the_end_of_time_fails_its_step(body: Any) -> None:
    made = state(replace(planned("a", kind=Kind.WAIT), body={"wait": body}))
    answer = Resolver(Counting()).outside(made, "a", START)
    assert isinstance(answer, Unresolvable)


def test_a_wait_by_expression() -> None:
    nap = replace(planned("a", kind=Kind.WAIT), body={"wait": {"for": "${{ params.nap }}"}})
    made = state(nap, params={"nap": "30s"}, types={"nap": "duration"})
    answer = Resolver(Counting()).outside(made, "a", START)
    assert answer == Deferred("a", START + timedelta(seconds=30))


def test_an_evaluator_that_gives_up_fails_the_step_alone() -> None:
    class Spent:
        def evaluate(self, source: str, context: Mapping[str, Any]) -> Any:
            raise ExpressionError("took longer than 1 s")

    made = state(step("a", condition="1 + 1 == 2"))
    answer = Resolver(Spent()).condition(made, made.plan.by_key["a"])
    assert answer == Unresolvable("a", "if: took longer than 1 s")
