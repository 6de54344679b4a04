"""Why a step is not running."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from headway.plan.model import Kind
from headway_coordinator.engine.explain import explain
from headway_coordinator.engine.model import StepMoved
from headway_coordinator.engine.state import apply
from headway_coordinator.engine.states import StepStatus
from tests.unit.engine.building import START, Journey, planned

SECOND = timedelta(seconds=1)


def told(run: Journey, key: str) -> list[tuple[str, str | None, str]]:
    return [(b.code, b.subject, b.message) for b in explain(run.state, key)]


def test_a_step_waits_for_each_need_that_has_not_ended() -> None:
    run = Journey.of(planned("a"), planned("b"), planned("c"), planned("d", "a", "b", "c"))
    run.perform("b")
    run.admit("c")
    assert told(run, "d") == [
        ("upstream", "a", "needs a, which is ready"),
        ("upstream", "c", "needs c, which is running"),
    ]
    assert explain(run.state, "d")[0].since == START


def test_a_finally_step_waits_for_the_main_steps_then_for_its_own_needs() -> None:
    run = Journey.of(planned("a"), planned("y", final=True), planned("z", "y", final=True))
    assert told(run, "z") == [("upstream", "a", "needs a, which is ready")]
    run.perform("a")
    assert told(run, "z") == [("upstream", "y", "needs y, which is ready")]


def test_a_condition_that_was_not_evaluated_yet() -> None:
    run = Journey.of(planned("a", condition="params.go"))
    assert told(run, "a") == [("condition", "a", "`if: params.go` is to be evaluated")]


def test_a_retry_says_when() -> None:
    run = Journey.of(planned("a", retries=1))
    run.perform("a", outcome="failed")
    (blocker,) = explain(run.state, "a")
    assert (blocker.code, blocker.since, blocker.subject) == ("retry_at", run["a"].due_at, "a")
    assert blocker.message.startswith("attempt 1 ended as failed; the next starts at 2026-03-01T")


def test_a_wait_says_until_when() -> None:
    run = Journey.of(planned("a", kind=Kind.WAIT))
    run.defer("a", 60 * SECOND)
    assert told(run, "a") == [("retry_at", "a", "the step waits until 2026-03-01T06:01:00.000Z")]


def test_a_paused_run() -> None:
    run = Journey.of(planned("a"), planned("b", "a"))
    run.pause()
    said = "the run is paused by ann: the source is broken"
    assert told(run, "b") == [("paused", "r", said)]
    assert explain(run.state, "b")[0].since == run.now


def test_an_approval() -> None:
    run = Journey.of(planned("a"))
    step = run["a"]
    waiting = replace(step, status=StepStatus.AWAITING_APPROVAL)
    apply(run.state, [StepMoved(step, waiting)])
    assert told(run, "a") == [("approval", "a", "waits for an approval")]


@pytest.mark.parametrize("when", ["ready", "running", "ended", "run ended"])
def test_nothing_blocks_what_is_ready_running_or_ended(when: str) -> None:
    run = Journey.of(planned("a"), planned("b"))
    if when == "running":
        run.admit("a")
    if when in ("ended", "run ended"):
        run.perform("a")
    if when == "run ended":
        run.cancel()
    assert explain(run.state, "a") == []
