"""Waits, queue timeouts and deadlines."""

from __future__ import annotations

from datetime import timedelta

from headway.plan.model import Kind, When
from headway_coordinator.engine.events import (
    Deferred,
    Released,
)
from headway_coordinator.engine.model import StopAttempts
from headway_coordinator.engine.states import StepStatus
from tests.unit.engine.building import START, Journey, planned, transcript

SECOND = timedelta(seconds=1)


def test_a_wait_holds_no_worker_and_ends_by_its_timer() -> None:
    run = Journey.of(planned("a", kind=Kind.WAIT), planned("b", "a"))
    run.defer("a", 60 * SECOND)
    assert run.steps == "a=deferred b=pending"
    assert run.defer("a", SECOND).ignored == "the step is not ready"
    assert run.take(Deferred("nobody", START)).ignored == "the step is not ready"
    assert run.due("a", after=59 * SECOND).ignored == "nothing is due"
    run.due("a", after=SECOND)
    assert run.steps == "a=succeeded b=ready"


def test_what_a_step_waited_for_outside_may_end_it_before_its_time() -> None:
    run = Journey.of(planned("a", kind=Kind.WAIT), planned("b", "a", when=When.ANY_DONE))
    told = Released("a", StepStatus.FAILED, {"n": 1}, "expired", {"code": "expired"})
    assert run.take(told).ignored == "the step waits for nothing outside"
    run.take(Deferred("a", None, {"signal": "go"}))
    assert (run["a"].due_at, run["a"].progress) == (None, {"signal": "go"})
    assert run.due("a", after=SECOND).ignored == "nothing is due"
    run.take(told)
    assert run.steps == "a=failed b=ready"
    assert (run["a"].outputs, run["a"].reason) == ({}, "expired")
    assert run["a"].error == {"code": "expired"}
    assert run.take(Released("nobody", StepStatus.SUCCEEDED)).ignored is not None


def test_a_step_that_no_worker_takes_in_time_fails() -> None:
    run = Journey.of(planned("a", queue_timeout=30 * SECOND))
    assert run["a"].due_at == START + 30 * SECOND
    run.due("a", after=30 * SECOND)
    assert (run.steps, run["a"].reason) == ("a=failed", "queue_timeout")
    error = run["a"].error
    assert error is not None
    assert error["message"] == "no worker took the step within 30s"


def test_a_dispatched_step_is_withdrawn_by_the_rows_and_asked_for_once() -> None:
    run = Journey.of(planned("a", queue_timeout=30 * SECOND, retries=3))
    run.admit("a")
    asked = run.due("a", after=30 * SECOND).effects
    assert asked == (StopAttempts("r", ("r-0-1",), "queue_timeout", running=False),)
    assert run.due("a", after=SECOND).ignored == "nothing is due"
    run.withdraw("a", "queue_timeout")
    assert (run.steps, run["a"].reason) == ("a=failed", "queue_timeout")


def test_a_claimed_step_outlives_its_queue_timeout() -> None:
    run = Journey.of(planned("a", queue_timeout=30 * SECOND))
    run.admit("a")
    run.due("a", after=30 * SECOND)
    run.finish("a")
    assert run.status == "succeeded"


def test_the_time_in_the_queue_begins_anew_with_each_retry() -> None:
    run = Journey.of(planned("a", queue_timeout=30 * SECOND))
    run.now += 20 * SECOND
    run.perform("a", outcome="lost")
    assert run["a"].due_at == run.now + 30 * SECOND


def test_a_run_past_its_deadline_is_stopped_and_timed_out() -> None:
    run = Journey.of(planned("a"), planned("b", "a"), timeout=60 * SECOND)
    run.admit("a")
    assert run.due(after=59 * SECOND).ignored == "the run's deadline has not come"
    stopped = run.due(after=SECOND)
    assert transcript(stopped) == [
        "run running → cancelling (timeout)",
        "b pending → cancelled (cancelled)",
        "stop r-0-1 (cancelled) running too",
    ]
    run.finish("a", "cancelled")
    assert (run.status, run.state.run.reason) == ("timed_out", "timeout")
    assert run.due(after=SECOND).ignored == "the run's deadline has not come"


def test_a_run_without_a_timeout_has_no_deadline() -> None:
    run = Journey.of(planned("a"))
    assert run.due(after=timedelta(days=999)).ignored == "the run's deadline has not come"


def test_nothing_is_due_of_a_step_that_has_ended_or_is_not_there() -> None:
    run = Journey.of(planned("a", queue_timeout=SECOND))
    run.perform("a")
    assert run.due("a", after=60 * SECOND).ignored == "nothing is due"
    assert run.due("nobody").ignored == "nothing is due"
