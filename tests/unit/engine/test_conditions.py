"""When an `if` is asked for, and what its answer does."""

from __future__ import annotations

from headway_coordinator.engine.events import (
    Decided,
    Event,
    Unresolvable,
)
from headway_coordinator.engine.model import Decide
from headway_coordinator.engine.settle import outstanding
from tests.unit.engine.building import Journey, planned, reloaded


def test_a_condition_is_asked_for_when_the_needs_have_ended() -> None:
    run = Journey.of(planned("a"), planned("b", "a", condition="x"), planned("c", "b"))
    assert run.begun.effects == ()
    assert run.perform("a").effects == (Decide("b"),)
    run.decide("b", True)
    assert run.steps == "a=succeeded b=ready c=pending"


def test_a_condition_that_does_not_hold_skips_the_step_and_what_needs_it() -> None:
    run = Journey.of(planned("a", condition="x"), planned("b", "a"), planned("c", "b"))
    run.decide("a", False)
    assert run.steps == "a=skipped b=skipped c=skipped"
    assert [run[k].reason for k in "abc"] == ["condition", "upstream", "upstream"]
    assert run.status == "succeeded"


def test_an_answer_that_nobody_waits_for_is_ignored() -> None:
    run = Journey.of(planned("a"), planned("b", "a", condition="x"), planned("c", "a"))
    for key in ("a", "b", "c", "nobody"):
        assert run.decide(key, True).ignored == "the step does not wait for its condition"
    run.perform("a")
    run.decide("b", True)
    assert run.decide("b", False).ignored == "the step does not wait for its condition"


def test_an_old_answer_does_not_start_a_reopened_step_before_its_needs() -> None:
    run = Journey.of(planned("a"), planned("b", "a", when="all_done", condition="x"))
    run.perform("a", outcome="failed")
    answers: tuple[Event, ...] = (Decided("b", True), Unresolvable("b", "no such output"))
    run.take(answers[0])
    run.perform("b", outcome="failed")
    run.retry()
    assert run.steps == "a=ready b=pending"
    for answer in answers:
        assert run.take(answer).ignored is not None
        assert run.steps == "a=ready b=pending"


def test_an_expression_error_fails_the_step_pending_or_ready() -> None:
    run = Journey.of(planned("a", condition="x"), planned("b"))
    for key in "ab":
        run.take(Unresolvable(key, "no such param"))
    assert run.steps == "a=failed b=failed"
    assert run["a"].reason == "expression_error"
    assert run["a"].error == {"code": "expression_error", "message": "no such param"}
    for key in ("a", "nobody"):
        assert run.take(Unresolvable(key, "again")).ignored is not None


def test_one_decision_asks_for_a_condition_once() -> None:
    # Both needs end in the same decision: each of them marks `c` as to be looked at.
    run = Journey.of(
        planned("x"),
        planned("a", "x"),
        planned("b", "x"),
        planned("c", "a", "b", when="any_failed", condition="x"),
    )
    assert run.perform("x", outcome="failed").effects == (Decide("c"),)


def test_what_a_new_leader_must_ask_again() -> None:
    run = Journey.of(
        planned("a", condition="x"),
        planned("b", "a", condition="x"),
        planned("z", condition="x", final=True),
    )
    assert outstanding(reloaded(run.state)) == [Decide("a")]
    assert run.decide("a", False).effects == (Decide("z"),)
    assert outstanding(reloaded(run.state)) == [Decide("z")]
    run.decide("z", False)
    assert outstanding(reloaded(run.state)) == []
