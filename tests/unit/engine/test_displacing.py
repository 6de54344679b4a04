"""Steps that put an end to others when they begin, and items of which some are enough."""

from __future__ import annotations

from datetime import timedelta

from headway.plan.model import Foreach, Kind, When
from headway_coordinator.engine.events import MarkRequested
from headway_coordinator.engine.model import StopAttempts
from headway_coordinator.engine.states import StepStatus
from tests.unit.engine.building import Journey, planned, reloaded

SECOND = timedelta(seconds=1)


def race(*, condition: str | None = None) -> Journey:
    return Journey.of(
        planned("a"),
        planned("b"),
        planned("c", kind=Kind.WAIT),
        planned(
            "first",
            "a",
            "b",
            "c",
            when=When.ANY_SUCCEEDED,
            cancels=("a", "b", "c"),
            condition=condition,
        ),
    )


def test_the_first_of_a_race_puts_an_end_to_the_others() -> None:
    run = race()
    run.defer("c", 60 * SECOND)
    run.admit("a", "b")
    decision = run.finish("a")
    assert decision.effects == (StopAttempts("r", ("r-1-1",), "displaced", running=True),)
    assert run.steps == "a=succeeded b=running c=skipped first=ready"
    assert run["c"].reason == "marked by step first"
    run.finish("b", "cancelled")
    assert (run["b"].status, run["b"].reason) == (StepStatus.SKIPPED, "marked by step first")
    run.perform("first")
    assert run.status == "succeeded"


def test_what_succeeds_although_it_was_asked_to_stop_is_not_needed_all_the_same() -> None:
    run = race()
    run.admit("a", "b")
    run.finish("a")
    run.finish("b")
    assert run["b"].status is StepStatus.SKIPPED


def test_an_end_is_put_when_the_condition_says_so_and_not_before() -> None:
    run = race(condition="x")
    run.admit("b")
    run.perform("a")
    assert run.steps == "a=succeeded b=running c=ready first=pending"
    run.decide("first", True)
    assert run.steps == "a=succeeded b=running c=skipped first=ready"
    other = race(condition="x")
    other.perform("a")
    other.decide("first", False)
    assert other.steps == "a=succeeded b=ready c=ready first=skipped"


def test_in_a_paused_run_nothing_begins_and_nothing_is_put_an_end_to() -> None:
    run = race()
    run.admit("a", "b")
    run.pause()
    run.finish("a")
    assert run.steps == "a=succeeded b=running c=pending first=pending"
    run.resume()
    assert run.steps == "a=succeeded b=running c=skipped first=ready"


def test_a_retry_of_the_step_itself_puts_an_end_to_nothing_more() -> None:
    run = Journey.of(
        planned("a"), planned("b"), planned("first", "a", cancels=("b",), retries=1), planned("d")
    )
    run.perform("a")
    assert run["b"].status is StepStatus.SKIPPED
    run.perform("first", outcome="failed")
    run.due("first", after=60 * SECOND)
    assert run.steps == "a=succeeded b=skipped first=ready d=ready"


def test_a_retry_of_the_run_leaves_out_what_is_not_needed_while_its_winner_has_succeeded() -> None:
    run = Journey.of(
        planned("a"), planned("b"), planned("first", "a", cancels=("b",)), planned("d", "first")
    )
    run.perform("a", "first")
    run.perform("d", outcome="failed")
    assert run.status == "failed"
    run.retry()
    assert run.steps == "a=succeeded b=skipped first=succeeded d=ready"
    other = Journey.of(planned("a"), planned("b"), planned("first", "a", cancels=("b",)))
    other.perform("a")
    other.perform("first", outcome="failed")
    other.retry()
    assert other.steps == "a=succeeded b=skipped first=ready"


def test_a_person_who_has_the_name_of_a_step_puts_no_end_to_another() -> None:
    run = Journey.of(planned("a"), planned("first"), planned("d", "first"))
    run.take(MarkRequested("step first", ("a",), StepStatus.SKIPPED))
    assert run["a"].reason == "marked by step first"
    run.perform("first")
    run.perform("d", outcome="failed")
    run.retry()
    assert run.steps == "a=ready first=succeeded d=ready"


def test_a_step_with_items_is_put_an_end_to_as_a_whole() -> None:
    run = Journey.of(
        planned("a"), planned("each", foreach=Foreach([])), planned("end", "a", cancels=("each",))
    )
    run.expand("each", 1, 2)
    run.admit("each[0]")
    decision = run.perform("a")
    assert [effect for effect in decision.effects if isinstance(effect, StopAttempts)] == [
        StopAttempts("r", ("r-1.0-1",), "displaced", running=True)
    ]
    run.finish("each[0]", "cancelled")
    assert run["each"].status is StepStatus.SKIPPED
    assert reloaded(run.state).steps.keys() == run.state.steps.keys()


# --- enough --------------------------------------------------------------------------------------


def spread(foreach: Foreach, items: int) -> Journey:
    run = Journey.of(planned("each", foreach=foreach), planned("after", "each"))
    run.expand("each", *range(items))
    return run


def test_enough_items_end_their_step_and_the_others_are_stopped() -> None:
    run = spread(Foreach([], enough=2), 5)
    run.admit("each[0]", "each[1]", "each[2]")
    run.finish("each[1]", outputs={"n": 1})
    assert run["each"].status == "running"
    decision = run.finish("each[2]", outputs={"n": 2})
    assert decision.effects == (StopAttempts("r", ("r-0.0-1",), "enough_succeeded", running=True),)
    assert run["each[3]"].status is StepStatus.CANCELLED
    run.finish("each[0]", "cancelled", reason="cancelled")
    assert run["each[0]"].reason == run["each[3]"].reason == "enough_succeeded"
    assert run["each"].status is StepStatus.SUCCEEDED
    assert run["each"].outputs == ({}, {"n": 1}, {"n": 2}, {}, {})
    assert run["after"].status is StepStatus.READY


def test_what_fails_while_it_is_stopped_is_not_tried_again() -> None:
    run = Journey.of(planned("each", foreach=Foreach([], enough=1), retries=3))
    run.expand("each", 1, 2)
    run.admit("each[0]", "each[1]")
    run.finish("each[0]")
    run.finish("each[1]", "failed")
    assert (run["each[1]"].status, run.status) == (StepStatus.FAILED, "succeeded")


def test_a_step_fails_once_enough_cannot_succeed_any_more() -> None:
    run = spread(Foreach([], enough_percent=50, max_parallel=1), 4)
    for index in range(3):
        run.perform(f"each[{index}]", outcome="failed")
    assert (run["each"].status, run["each"].reason) == (StepStatus.FAILED, "foreach_failed")
    assert "each[3]" not in run.state.steps


def test_of_a_short_list_all_are_enough() -> None:
    run = spread(Foreach([], enough=5), 2)
    run.perform("each[0]", "each[1]")
    assert run["each"].status is StepStatus.SUCCEEDED
    assert spread(Foreach([], enough=5), 0)["each"].status is StepStatus.SUCCEEDED


def test_a_cancel_while_the_others_are_stopped_cancels_the_step() -> None:
    run = spread(Foreach([], enough=1), 2)
    run.admit("each[0]", "each[1]")
    run.finish("each[0]")
    run.cancel()
    run.finish("each[1]", "cancelled")
    assert (run["each"].status, run.status) == (StepStatus.CANCELLED, "cancelled")


def test_enough_items_of_a_finally_step_succeed_in_a_cancelled_run() -> None:
    run = Journey.of(planned("a"), planned("z", final=True, foreach=Foreach([], enough=1)))
    run.cancel()
    run.expand("z", 1, 2)
    run.admit("z[0]", "z[1]")
    run.finish("z[0]")
    run.finish("z[1]", "cancelled")
    assert (run["z"].status, run.status) == (StepStatus.SUCCEEDED, "cancelled")


def test_a_new_leader_knows_that_enough_have_succeeded() -> None:
    run = spread(Foreach([], enough=1), 3)
    run.admit("each[0]", "each[1]")
    run.finish("each[0]")
    again = reloaded(run.state)
    assert again.steps["each"].reason == "enough_succeeded"
    assert again.children["each"] == run.state.children["each"]
