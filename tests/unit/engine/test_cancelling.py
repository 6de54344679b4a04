"""What a cancel ends, asks for and leaves."""

from __future__ import annotations

from datetime import timedelta

import pytest

from headway.plan.model import Kind, Retry
from headway_coordinator.engine.events import (
    CancelRequested,
)
from headway_coordinator.engine.model import StopAttempts
from headway_coordinator.engine.states import RunStatus, StepStatus
from tests.unit.engine.building import Journey, planned, reloaded

SECOND = timedelta(seconds=1)
FIXED = Retry(max=2, backoff="fixed", delay=10 * SECOND, cap=60 * SECOND, jitter=False)


def test_a_cancel_ends_what_waits_and_asks_what_runs() -> None:
    run = Journey.of(
        planned("live"),
        planned("ready"),
        planned("tried", retry=FIXED),
        planned("wait", kind=Kind.WAIT),
        planned("later", "live"),
        planned("done"),
    )
    run.perform("done")
    run.perform("tried", outcome="failed")
    run.defer("wait", SECOND)
    run.admit("live")
    decision = run.cancel()
    assert decision.effects == (StopAttempts("r", ("r-0-1",), "cancelled", running=True),)
    assert run.steps == (
        "live=running ready=cancelled tried=cancelled wait=cancelled later=cancelled done=succeeded"
    )
    assert run.status == "cancelling"
    assert run.cancel().ignored == "the run is being cancelled already"
    run.withdraw("live")
    assert (run.status, run["live"].status) == ("cancelled", StepStatus.CANCELLED)
    assert run.cancel().ignored == "the run has ended as cancelled"


def test_a_cancel_with_nothing_running_ends_the_run_at_once() -> None:
    run = Journey.of(planned("a"))
    decision = run.take(CancelRequested("bob", "wrong day"))
    assert decision.effects == ()
    assert (run.status, run.state.run.reason) == ("cancelled", "wrong day")
    assert run.state.run.verdict is RunStatus.CANCELLED


@pytest.mark.parametrize(
    ("outcome", "ends"),
    [
        ("succeeded", StepStatus.SUCCEEDED),
        ("failed", StepStatus.FAILED),
        ("timed_out", StepStatus.FAILED),
        ("lost", StepStatus.CANCELLED),
        ("cancelled", StepStatus.CANCELLED),
    ],
)
def test_a_cancelling_run_tries_nothing_again(outcome: str, ends: StepStatus) -> None:
    run = Journey.of(planned("a", retries=5), planned("b", "a"))
    run.admit("a")
    run.cancel()
    run.finish("a", outcome)
    assert run["a"].status is ends
    assert run.status == "cancelled"


def test_finally_runs_after_a_cancel() -> None:
    run = Journey.of(planned("a"), planned("z", final=True, retries=1))
    run.cancel()
    assert (run.steps, run.status) == ("a=cancelled z=ready", "cancelling")
    run.perform("z", outcome="failed")
    assert run["z"].status is StepStatus.RETRY_WAIT
    run.due("z", after=60 * SECOND)
    run.perform("z")
    assert (run.steps, run.status) == ("a=cancelled z=succeeded", "cancelled")


@pytest.mark.parametrize("first", ["done", "cancelled"])
@pytest.mark.parametrize("outcome", ["failed", "lost", "cancelled"])
def test_a_cancel_during_finally_stops_it_for_good(first: str, outcome: str) -> None:
    run = Journey.of(
        planned("a"),
        planned("y", final=True, retries=5),
        planned("z", final=True),
        planned("zz", "z", final=True),
    )
    if first == "done":
        run.perform("a")
    else:
        run.cancel()
    run.admit("y")
    decision = run.cancel()
    assert decision.effects == (StopAttempts("r", ("r-1-1",), "cancelled", running=True),)
    assert run.steps.endswith("y=running z=cancelled zz=cancelled")
    run.cancel()
    run.state = reloaded(run.state)  # what was asked outlives the leader
    run.finish("y", outcome)
    assert run["y"].terminal
    assert run.status == "cancelled"


# --- with grace and by force ---------------------------------------------------------------------


def stop(*attempts: str, grace: timedelta | None) -> tuple[StopAttempts, ...]:
    return (StopAttempts("r", attempts, "cancelled", running=True, grace=grace),)


def test_a_cancel_says_how_long_what_runs_has_to_end() -> None:
    run = Journey.of(planned("a"), planned("z", final=True))
    run.admit("a")
    decision = run.take(CancelRequested("bob", grace=30 * SECOND))
    assert decision.effects == stop("r-0-1", grace=30 * SECOND)
    again = run.take(CancelRequested("bob", grace=2 * SECOND))
    assert again.effects == stop("r-0-1", grace=2 * SECOND)
    assert run.cancel().ignored == "the run is being cancelled already"
    run.finish("a", "cancelled")
    assert run.steps == "a=cancelled z=ready"


def test_force_kills_what_runs_and_leaves_finally_out() -> None:
    run = Journey.of(planned("a"), planned("b", "a"), planned("z", final=True))
    run.admit("a")
    decision = run.take(CancelRequested("bob", force=True))
    assert decision.effects == stop("r-0-1", grace=timedelta())
    assert (run.steps, run.status) == ("a=running b=cancelled z=cancelled", "cancelling")
    run.finish("a", "cancelled")
    assert (run.steps, run.status) == ("a=cancelled b=cancelled z=cancelled", "cancelled")
    run.retry()
    assert run.steps == "a=ready b=pending z=pending"


def test_force_ends_a_cancel_that_hangs() -> None:
    run = Journey.of(planned("a"), planned("z", final=True))
    run.admit("a")
    run.cancel()
    forced = run.take(CancelRequested("bob", force=True))
    assert forced.effects == stop("r-0-1", grace=timedelta())
    assert run.steps == "a=running z=cancelled"
    run.withdraw("a")
    assert run.status == "cancelled"


def test_force_ends_a_finally_that_is_being_stopped_already() -> None:
    run = Journey.of(planned("a"), planned("z", final=True))
    run.cancel()
    run.admit("z")
    run.cancel()
    forced = run.take(CancelRequested("bob", force=True))
    assert forced.effects == stop("r-1-1", grace=timedelta())
    run.finish("z", "cancelled")
    assert (run.steps, run.status) == ("a=cancelled z=cancelled", "cancelled")
