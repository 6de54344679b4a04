"""A person's retry; ended runs; illegal moves."""

from __future__ import annotations

from datetime import timedelta

import pytest

from headway.errors import DefectError
from headway_coordinator.engine.advance import advance
from headway_coordinator.engine.draft import Draft
from headway_coordinator.engine.events import (
    Admitted,
    CancelRequested,
    Deferred,
    Due,
    Event,
    Finished,
    RetryRequested,
    Unresolvable,
)
from headway_coordinator.engine.model import Decide, Step
from headway_coordinator.engine.states import RunStatus, StepStatus
from tests.unit.engine.building import QUEUE, START, Journey, planned

SECOND = timedelta(seconds=1)


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
