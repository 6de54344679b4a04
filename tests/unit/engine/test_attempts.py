"""Beginning, admission, and how attempts end."""

from __future__ import annotations

from datetime import timedelta

import pytest

from headway.plan.model import Retry
from headway_coordinator.engine.advance import LOSS_LIMIT
from headway_coordinator.engine.events import (
    Finished,
    Withdrawn,
)
from headway_coordinator.engine.model import AttemptEnded, AttemptMade, Decide
from headway_coordinator.engine.states import StepStatus
from tests.unit.engine.building import QUEUE, START, Journey, planned, transcript

SECOND = timedelta(seconds=1)
FIXED = Retry(max=2, backoff="fixed", delay=10 * SECOND, cap=60 * SECOND, jitter=False)


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


@pytest.mark.parametrize("code", ["secret_missing", "secret_unreadable"])
def test_what_only_a_person_can_mend_is_not_retried(code: str) -> None:
    run = Journey.of(planned("a", retry=FIXED))
    run.admit("a")
    run.finish("a", "failed", error={"code": code, "message": "it is not set"})
    assert run.steps == "a=failed"
    assert (run["a"].reason, run["a"].failures) == (code, 1)


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
