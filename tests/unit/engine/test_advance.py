"""What each event does to a run, told as short stories."""

from __future__ import annotations

from datetime import timedelta

import pytest

from headway.errors import DefectError
from headway.plan.model import Kind, Retry
from headway_coordinator.engine.advance import LOSS_LIMIT, advance
from headway_coordinator.engine.draft import Draft
from headway_coordinator.engine.events import (
    Admitted,
    CancelRequested,
    Decided,
    Deferred,
    Due,
    Event,
    Finished,
    RetryRequested,
    Unresolvable,
    Withdrawn,
)
from headway_coordinator.engine.model import AttemptEnded, AttemptMade, Decide, Step, StopAttempts
from headway_coordinator.engine.settle import outstanding
from headway_coordinator.engine.states import RunStatus, StepStatus
from tests.unit.engine.building import QUEUE, START, Journey, planned, reloaded, transcript

SECOND = timedelta(seconds=1)
FIXED = Retry(max=2, backoff="fixed", delay=10 * SECOND, cap=60 * SECOND, jitter=False)


# --- beginning ------------------------------------------------------------------------------------


def test_a_new_run_starts_with_its_roots_ready() -> None:
    run = Journey.of(planned("a"), planned("b", "a"), planned("z", final=True), timeout=60 * SECOND)
    assert transcript(run.begun) == [
        "run created as queued",
        "run queued → running",
        "a pending → ready",
    ]
    assert run.state.run.started_at == START
    assert run.state.run.deadline_at == START + 60 * SECOND
    assert run["a"].ready_at == START


def test_a_run_whose_only_step_is_conditional_waits_for_the_answer() -> None:
    run = Journey.of(planned("a", condition="params.go"))
    assert run.begun.effects == (Decide("a"),)
    assert run.steps == "a=pending"


# --- attempts -------------------------------------------------------------------------------------


def test_admission_makes_an_attempt_with_the_next_number_as_fence() -> None:
    run = Journey.of(planned("a", retry=FIXED))
    (_, made) = run.admit("a").changes
    assert made == AttemptMade(
        "r-0-1", "r", "a", 1, 1, "analytics", QUEUE, {"kind": "run", "no": 1}
    )
    run.finish("a", "failed")
    run.due("a", after=10 * SECOND)
    (_, made) = run.admit("a").changes
    assert isinstance(made, AttemptMade)
    assert (made.attempt, made.no, made.fence) == ("r-0-2", 2, 2)


@pytest.mark.parametrize("before", ["nothing", "admitted", "ended"])
def test_only_a_ready_step_is_admitted(before: str) -> None:
    run = Journey.of(planned("a"), planned("b", "a"))
    if before == "admitted":
        run.admit("a")
    if before == "ended":
        run.perform("a", "b")
    key = "b" if before == "nothing" else "a"
    assert run.admit(key).ignored == "the step is not ready"
    assert run.admit("nobody").ignored == "the step is not ready"


def test_a_finished_attempt_ends_its_row_and_its_step() -> None:
    run = Journey.of(planned("a"))
    run.admit("a")
    decision = run.finish(
        "a", outputs={"rows": 3}, exit_code=0, log_bytes=9, started_at=START, expired=True
    )
    assert decision.changes[0] == AttemptEnded(
        "r-0-1", "r", 1, "succeeded", None, 0, None, START, None, 9, True
    )
    assert run["a"].outputs == {"rows": 3}
    assert run["a"].finished_at == START
    assert run.status == "succeeded"
    assert run.state.run.finished_at == START


@pytest.mark.parametrize(
    ("attempt", "fence"),
    [
        ("r-0-1", 2),
        ("r-0-2", 1),
        ("q-0-1", 1),
        ("r-1-1", 1),
        ("r-7-1", 1),
        ("r--1-1", 1),
        ("r-x-1", 1),
        ("r", 1),
        ("", 1),
    ],
)
def test_what_does_not_name_the_live_attempt_is_stale(attempt: str, fence: int) -> None:
    run = Journey.of(planned("a"), planned("b", "a"))
    run.admit("a")
    for event in (Finished(attempt, fence, "succeeded"), Withdrawn(attempt, fence, "cancelled")):
        assert run.take(event).ignored == "stale: the attempt is not live"
    assert run.steps == "a=running b=pending"


def test_a_failure_is_retried_after_its_wait_and_no_more_often_than_allowed() -> None:
    run = Journey.of(planned("a", retry=FIXED))
    for failure in (1, 2):
        run.perform("a", outcome="failed")
        assert run.steps == "a=retry_wait"
        assert run["a"].due_at == run.now + 10 * SECOND
        assert run["a"].failures == failure
        assert run.due("a", after=9 * SECOND).ignored == "nothing is due"
        run.due("a", after=SECOND)
        assert run.steps == "a=ready"
        step = run.state.steps["a"]
        assert (step.ready_at, step.reason, step.due_at) == (run.now, None, None)
    run.perform("a", outcome="failed")
    assert run.steps == "a=failed"
    assert (run["a"].attempts, run["a"].failures) == (3, 3)


@pytest.mark.parametrize(
    ("retry", "delays"),
    [
        (FIXED, [10, 10]),
        (Retry(max=2, backoff="fixed", delay=90 * SECOND, cap=60 * SECOND, jitter=False), [60, 60]),
        (Retry(max=3, delay=10 * SECOND, cap=25 * SECOND, jitter=False), [10, 20, 25]),
    ],
)
def test_the_wait_before_a_retry(retry: Retry, delays: list[int]) -> None:
    run = Journey.of(planned("a", retry=retry))
    for seconds in delays:
        run.perform("a", outcome="failed")
        assert run["a"].due_at == run.now + seconds * SECOND
        run.due("a", after=seconds * SECOND)


def test_jitter_spreads_retries_yet_is_the_same_each_time() -> None:
    steps = [planned(f"s{i}", retry=Retry(max=1, delay=10 * SECOND)) for i in range(20)]
    waits = []
    for _ in range(2):
        run = Journey.of(*steps)
        for step in steps:
            run.perform(step.key, outcome="failed")
        waits.append([run[s.key].due_at for s in steps])
    assert waits[0] == waits[1]
    assert len(set(waits[0])) > 10
    assert all(w and START + 5 * SECOND <= w <= START + 10 * SECOND for w in waits[0])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"outcome": "failed"}, "failed"),
        ({"outcome": "failed", "reason": "exit 3"}, "exit 3"),
        ({"outcome": "failed", "error": {"code": "no_output"}}, "no_output"),
        ({"outcome": "timed_out", "reason": "after 1 h"}, "timed_out"),
    ],
)
def test_the_reason_of_a_failed_step(fields: dict[str, object], reason: str) -> None:
    run = Journey.of(planned("a"))
    run.admit("a")
    run.finish("a", **fields)  # type: ignore[arg-type]
    assert (run.steps, run["a"].reason) == ("a=failed", reason)
    assert run["a"].error == fields.get("error")
    assert (run.status, run.state.run.reason) == ("failed", "step a failed")


def test_a_lost_attempt_does_not_count_as_a_failure_but_has_a_limit_of_its_own() -> None:
    run = Journey.of(planned("a", retries=0))
    for _ in range(LOSS_LIMIT):
        run.perform("a", outcome="lost")
        assert (run["a"].status, run["a"].reason) == (StepStatus.READY, "infra_lost")
        assert run["a"].failures == 0
    run.perform("a", outcome="lost")
    assert (run.steps, run["a"].reason) == ("a=failed", "infra_lost")
    assert run["a"].error == {"code": "infra_lost", "message": "the worker was lost"}


def test_success_after_failure_leaves_no_error_behind() -> None:
    run = Journey.of(planned("a", retry=FIXED))
    run.admit("a")
    run.finish("a", "failed", error={"code": "oom"}, reason="killed")
    assert (run["a"].reason, run["a"].error) == ("killed", {"code": "oom"})
    run.due("a", after=10 * SECOND)
    run.perform("a")
    assert (run["a"].reason, run["a"].error) == (None, None)


def test_a_step_that_a_worker_cancelled_is_cancelled_and_its_run_fails() -> None:
    run = Journey.of(planned("a"), planned("b", "a"))
    run.admit("a")
    run.finish("a", "cancelled", reason="by hand")
    assert (run.steps, run["a"].reason) == ("a=cancelled b=upstream_failed", "by hand")
    assert (run.status, run.state.run.reason) == ("failed", "step a cancelled")


def test_a_failure_that_is_allowed_lets_the_run_succeed() -> None:
    run = Journey.of(planned("a", allow_failure=True), planned("b", "a"))
    run.perform("a", outcome="failed")
    run.perform("b")
    assert (run.steps, run.status) == ("a=failed b=succeeded", "succeeded")


# --- conditions -----------------------------------------------------------------------------------


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


# --- time -----------------------------------------------------------------------------------------


def test_a_wait_holds_no_worker_and_ends_by_its_timer() -> None:
    run = Journey.of(planned("a", kind=Kind.WAIT), planned("b", "a"))
    run.defer("a", 60 * SECOND)
    assert run.steps == "a=deferred b=pending"
    assert run.defer("a", SECOND).ignored == "the step is not ready"
    assert run.take(Deferred("nobody", START)).ignored == "the step is not ready"
    assert run.due("a", after=59 * SECOND).ignored == "nothing is due"
    run.due("a", after=SECOND)
    assert run.steps == "a=succeeded b=ready"


def test_a_step_that_no_worker_takes_in_time_fails() -> None:
    run = Journey.of(planned("a", queue_timeout=30 * SECOND))
    assert run["a"].due_at == START + 30 * SECOND
    run.due("a", after=30 * SECOND)
    assert (run.steps, run["a"].reason) == ("a=failed", "queue_timeout")
    error = run["a"].error
    assert error is not None
    assert error["message"] == "no worker took the step within 0:00:30"


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


# --- cancelling -----------------------------------------------------------------------------------


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


# --- retrying -------------------------------------------------------------------------------------


def test_a_retry_goes_on_from_what_did_not_succeed() -> None:
    run = Journey.of(
        planned("a"),
        planned("b", "a"),
        planned("c", "b"),
        planned("d", "a"),
        planned("z", final=True),
        timeout=60 * SECOND,
    )
    run.perform("a")
    run.perform("b", outcome="failed")
    run.perform("d", "z")
    assert run.status == "failed"
    run.now += timedelta(hours=1)
    run.retry()
    assert run.steps == "a=succeeded b=ready c=pending d=succeeded z=pending"
    facts = run.state.run
    assert (facts.status, facts.request, facts.reason) == (RunStatus.RUNNING, 1, None)
    assert (facts.deadline_at, facts.finished_at) == (run.now + 60 * SECOND, None)
    assert (run["b"].attempts, run["b"].failures) == (1, 0)
    run.perform("b", "c", "z")
    assert (run.status, run["b"].attempts, run["z"].attempts) == ("succeeded", 2, 2)


@pytest.mark.parametrize("outcome", ["none", "succeeded"])
def test_only_a_run_that_ended_without_success_is_retried(outcome: str) -> None:
    run = Journey.of(planned("a"))
    if outcome != "none":
        run.perform("a")
    ignored = run.retry().ignored
    assert ignored is not None
    assert ignored.startswith("only a run that ended without success can be retried")


def test_a_retry_when_only_finally_failed_runs_it_again_as_a_whole() -> None:
    run = Journey.of(
        planned("a"), planned("y", final=True), planned("z", final=True, condition="x")
    )
    run.perform("a")
    run.decide("z", True)
    run.perform("y")
    run.perform("z", outcome="failed")
    decision = run.retry()
    assert decision.effects == (Decide("z"),)
    assert run.steps == "a=succeeded y=ready z=pending"


def test_an_old_attempt_cannot_end_a_reopened_step() -> None:
    run = Journey.of(planned("a"))
    run.perform("a", outcome="failed")
    run.retry()
    run.admit("a")
    assert run.take(Finished("r-0-1", 1, "succeeded")).ignored == "stale: the attempt is not live"
    run.finish("a")
    assert run.status == "succeeded"


# --- defects --------------------------------------------------------------------------------------


def test_an_illegal_move_raises_with_the_story() -> None:
    run = Journey.of(planned("a"))
    draft = Draft(run.state, run.now)
    draft.make_ready(run["a"])  # ready → ready is a change of fields only
    with pytest.raises(DefectError, match="step a pending → running") as caught:
        draft.move(Step("a"), StepStatus.RUNNING)
    assert caught.value.code == "illegal_move"
    with pytest.raises(DefectError, match="run running → cancelled"):
        draft.move_run(RunStatus.CANCELLED)


@pytest.mark.parametrize(
    "event",
    [
        Admitted("a", QUEUE, {}),
        CancelRequested("ann"),
        RetryRequested("ann"),
        Due("a"),
        Due(None),
        Deferred("a", START),
        Unresolvable("a", "x"),
    ],
)
def test_an_ended_run_is_left_alone(event: Event) -> None:
    run = Journey.of(planned("a"), timeout=SECOND)
    run.perform("a")
    run.now += 5 * SECOND
    decision = advance(run.state, event, run.now)
    assert decision.ignored is not None
    assert decision.changes == ()
