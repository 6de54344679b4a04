"""Each invariant is shown to bite: a lawful state is bent, and `check` names what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from headway_coordinator.engine.invariants import check
from headway_coordinator.engine.model import Live, RunMoved, StepMoved, Tally
from headway_coordinator.engine.state import apply
from headway_coordinator.engine.states import RunStatus, StepStatus
from tests.unit.engine.building import START, Journey, planned

Bend = Callable[[Journey], None]


def journey() -> Journey:
    """Return a run with `a` succeeded, `b` running, `c` waiting for it, and a `finally` step."""
    run = Journey.of(
        planned("a"),
        planned("b", "a"),
        planned("c", "b"),
        planned("z", final=True),
    )
    run.perform("a")
    run.admit("b")
    return run


def step(key: str, **fields: Any) -> Bend:
    def bend(run: Journey) -> None:
        before = run[key]
        apply(run.state, [StepMoved(before, replace(before, **fields))])

    return bend


def of_run(**fields: Any) -> Bend:
    def bend(run: Journey) -> None:
        before = run.state.run
        apply(run.state, [RunMoved(before, replace(before, **fields))])

    return bend


def miscount(run: Journey) -> None:
    run.state.open_main += 1


def mistally(run: Journey) -> None:
    run.state.tallies["c"] = Tally(succeeded=1)


S, R = StepStatus, RunStatus
BENT: dict[str, tuple[Bend, str]] = {
    "ended too early": (of_run(status=R.FAILED, finished_at=START), "but b has not ended"),
    "no end time": (of_run(status=R.FAILED), "the run is failed without an end time"),
    "verdict without a stop": (of_run(verdict=R.CANCELLED), "with verdict cancelled"),
    "stop without a verdict": (of_run(status=R.CANCELLING), "with verdict None"),
    "paused by nobody": (of_run(status=R.PAUSED), "the run is paused, paused by None"),
    "another verdict": (
        of_run(status=R.CANCELLED, verdict=R.TIMED_OUT),
        "its verdict was timed_out",
    ),
    "count": (miscount, "the counts of open steps are wrong"),
    "tally": (mistally, "the tally of c is wrong"),
    "running without an attempt": (step("b", live=None), "b is running with live attempt None"),
    "an attempt without running": (
        step("c", live=Live("r-2-1", 1, 1, "q"), attempts=1),
        "c is pending with live attempt",
    ),
    "an old attempt": (step("b", attempts=2), "b: the live attempt is not the newest"),
    "a wait without an end": (
        step("b", status=S.RETRY_WAIT, live=None),
        "b is retry_wait with no end in sight",
    ),
    "ended without a time": (step("a", finished_at=None), "a has ended without an end time"),
    "too many failures": (step("b", failures=2), "b failed 2 times with 0 retries"),
    "too many losses": (step("b", losses=5), "b was lost 5 times"),
    "more ends than tries": (step("b", losses=2), "b failed more often than it was tried"),
    "outputs before the end": (step("b", outputs={"x": 1}), "b is running with outputs"),
    "finally too early": (
        step("z", status=S.READY),
        "z of finally started before the main steps had ended",
    ),
    "started before its needs": (step("c", status=S.READY), "c is ready but its needs say wait"),
    "left behind": (
        step("b", status=S.SUCCEEDED, live=None, finished_at=START),
        "c is pending although its needs say run",
    ),
}


def test_a_lawful_state_has_no_problems() -> None:
    assert check(journey().state) == []


@pytest.mark.parametrize("name", BENT)
def test_a_bent_state_is_named(name: str) -> None:
    bend, expected = BENT[name]
    run = journey()
    bend(run)
    assert any(expected in problem for problem in check(run.state)), check(run.state)


def test_a_run_that_did_not_end_is_named() -> None:
    run = Journey.of(planned("a"))
    run.perform("a")
    of_run(status=R.RUNNING)(run)
    assert check(run.state) == ["all steps have ended but the run is running"]


def test_a_verdict_that_the_steps_do_not_bear_out_is_named() -> None:
    run = Journey.of(planned("a"))
    run.perform("a")
    of_run(status=R.FAILED)(run)
    assert check(run.state) == ["the run is failed but its steps say succeeded"]


def test_a_finally_step_that_was_left_behind_is_named() -> None:
    run = Journey.of(planned("a"), planned("z", final=True))
    run.perform("a")
    step("z", status=S.PENDING)(run)
    assert check(run.state) == ["z is pending although its needs say run"]


def test_a_condition_that_waits_for_its_answer_is_lawful() -> None:
    run = Journey.of(planned("a", condition="x", queue_timeout=timedelta(seconds=1)))
    assert check(run.state) == []
