"""Runs of steps with items: such steps cleared and marked, their runs paused and resumed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from headway.plan.model import Foreach
from headway_coordinator.engine import invariants
from headway_coordinator.engine.explain import explain
from headway_coordinator.engine.model import StopAttempts, plain_outputs
from headway_coordinator.engine.recovery import reach
from headway_coordinator.engine.state import RunState
from tests.unit.engine.building import Journey, planned, reloaded, transcript

SECOND = timedelta(seconds=1)


def begun(
    *items: object, retries: int = 0, final: bool = False, max_parallel: int | None = None
) -> Journey:
    """Return a run of list → each (for each item) → after, whose items are known."""
    foreach = Foreach("${{ steps.list.outputs.parts }}", max_parallel=max_parallel)
    run = Journey.of(
        planned("list"),
        planned(
            "each", *([] if final else ["list"]), foreach=foreach, retries=retries, final=final
        ),
        *([] if final else [planned("after", "each")]),
    )
    run.perform("list")
    run.expand("each", *items)
    return run


def ended(*outcomes: str) -> Journey:
    """Return such a run in which the items ended so; `after` succeeded if it ran."""
    run = begun(*outcomes)
    for index, outcome in enumerate(outcomes):
        run.admit(f"each[{index}]")
        outputs = {"n": index} if outcome == "succeeded" else {}
        run.finish(f"each[{index}]", outcome, outputs=outputs)
    if run["after"].status == "ready":
        run.perform("after")
    return run


def states(run: Journey) -> str:
    """Return the step's state, then its children's in the order of the items."""
    children = [str(child.status) for child in run.state.children_of("each")]
    return " ".join([str(run["each"].status), *children])


# --- clear ---------------------------------------------------------------------------------------


def test_a_cleared_step_does_all_of_its_items_again() -> None:
    run = ended("succeeded", "succeeded")
    run.clear("each")
    assert states(run) == "ready pending pending"
    run.expand("each", "succeeded", "succeeded")
    run.perform("each[0]", "each[1]", "after")
    assert run.status == "succeeded"
    assert [run[key].attempts for key in ("each[0]", "each[1]", "list")] == [2, 2, 1]


def test_items_follow_the_list_of_a_cleared_step_before_them() -> None:
    run = ended("succeeded", "succeeded", "succeeded")
    for items, expected in (
        ("a", "running ready skipped skipped"),
        ("abc", "running" + " ready" * 3),
    ):
        run.clear("list", force=True)
        for key in [s.key for s in run.state.children_of("each") if s.live]:
            run.withdraw(key, "clearing")
        run.perform("list")
        run.expand("each", *items)
        children = [f"each[{index}]" for index in range(3)]
        assert " ".join([run["each"].status, *(run[key].status for key in children)]) == expected
    run.perform("each[0]", "each[1]", "each[2]", "after")
    assert run.status == "succeeded"


def test_items_that_only_wait_are_cleared_at_once() -> None:
    run = begun("a", "b", retries=1)
    run.perform("each[0]", outcome="failed")
    assert states(run) == "running retry_wait ready"
    run.clear("list")
    assert states(run) == "pending pending pending"


@pytest.mark.parametrize("outcome", ["cancelled", "succeeded", "failed", "lost", "withdrawn"])
@pytest.mark.parametrize("leader_changes", [False, True])
def test_live_items_are_stopped_before_their_step_is_cleared(
    outcome: str, leader_changes: bool
) -> None:
    run = begun("a", "b", "c", retries=2)
    run.admit("each[0]", "each[1]")
    for keys in (["each"], ["list"]):
        why = "each runs: wait for the end, or let it be stopped first (force)"
        assert run.clear(*keys).ignored == why
    decision = run.clear("each", force=True)
    attempts = ("r-1.0-1", "r-1.1-1")
    assert decision.effects == (StopAttempts("r", attempts, "clearing", running=True),)
    assert states(run) == "running running running pending"
    if leader_changes:
        run.state = reloaded(run.state)
    for key in ("each[0]", "each[1]"):
        assert run["each"].status == "running", "no item begins anew beside one that runs"
        assert run["each[2]"].status == "pending"
        if outcome == "withdrawn":
            run.withdraw(key, "clearing")
        else:
            run.finish(key, outcome)
    assert states(run) == "ready pending pending pending"
    run.expand("each", "a", "b", "c")
    run.perform("each[0]", "each[1]", "each[2]", "after")
    assert run.status == "succeeded"


def test_a_run_cancelled_while_items_are_stopped_to_be_cleared_is_cancelled() -> None:
    run = begun("a", "b")
    run.admit("each[0]")
    run.clear("each", force=True)
    run.cancel()
    run.finish("each[0]", "failed")
    assert (run.status, states(run)) == ("cancelled", "cancelled failed cancelled")


def test_the_same_in_finally() -> None:
    run = begun("a", "b", final=True)
    run.admit("each[0]")
    run.clear("each", force=True)
    run.cancel()
    run.finish("each[0]", "cancelled")
    assert (run.status, states(run)) == ("cancelled", "cancelled cancelled cancelled")


# --- mark ----------------------------------------------------------------------------------------


def test_a_step_marked_as_succeeded_shows_what_its_items_have() -> None:
    run = ended("succeeded", "failed", "succeeded")
    assert run.status == "failed"
    run.mark("succeeded", "each")
    assert plain_outputs(run["each"]) == [{"n": 0}, {}, {"n": 2}]
    run.perform("after")
    assert (run.status, run["each"].reason) == ("succeeded", "marked by ann: so it is")
    run.clear("each")
    assert states(run) == "ready pending pending pending"


def test_a_step_marked_before_its_items_are_known_has_none() -> None:
    run = Journey.of(planned("each", foreach=Foreach([])), planned("after", "each"))
    run.mark("succeeded", "each")
    assert plain_outputs(run["each"]) == []
    assert run["after"].status == "ready"


def test_a_cleared_step_can_be_marked_before_it_runs_again() -> None:
    run = ended("succeeded", "failed")
    run.clear("list")
    run.mark("skipped", "each")
    assert states(run) == "skipped cancelled cancelled"
    assert run["after"].status == "skipped"


@pytest.mark.parametrize("outcome", ["cancelled", "succeeded", "failed", "lost", "withdrawn"])
@pytest.mark.parametrize("status", ["succeeded", "failed", "skipped"])
def test_live_items_are_stopped_before_their_step_is_marked(outcome: str, status: str) -> None:
    run = begun("a", "b", "c", retries=2, max_parallel=2)
    run.admit("each[0]")
    assert "each runs: wait for the end" in str(run.mark(status, "each").ignored)
    decision = run.mark(status, "each", force=True)
    assert decision.effects == (StopAttempts("r", ("r-1.0-1",), "marking", running=True),)
    assert states(run) == "running running pending"
    run.state = reloaded(run.state)
    if outcome == "withdrawn":
        run.withdraw("each[0]", "marking")
    else:
        run.finish("each[0]", outcome)
    assert run["each"].status == status
    assert run["each"].reason == "marked by ann: so it is"
    assert run["each[1]"].status == "cancelled"
    assert len(plain_outputs(run["each"])) == (3 if status == "succeeded" else 0)


def test_no_outputs_can_be_given_to_a_step_with_items() -> None:
    run = ended("failed")
    why = "each runs for each item: its outputs are theirs, and none can be given"
    assert run.mark("succeeded", "each", rows=3).ignored == why


def test_an_item_is_not_touched_alone() -> None:
    run = ended("failed")
    why = "each[0] is an item of each, which is cleared and marked as a whole"
    assert run.clear("each[0]").ignored == why
    assert run.mark("succeeded", "each", "each[0]").ignored == why
    assert run.clear("after[0]").ignored == "the run has no step after[0]"


def test_a_step_left_out_begins_with_all_items_after_a_mark_before_it() -> None:
    run = ended("succeeded", "failed")
    run.clear("list")
    run.perform("list", outcome="failed")
    assert states(run) == "upstream_failed cancelled cancelled"
    run.mark("succeeded", "list")
    assert states(run) == "ready pending pending"
    assert reach(run.state, ["each"], downstream=True) == ["each"]


# --- pause ---------------------------------------------------------------------------------------


def test_a_paused_run_starts_no_item_and_goes_on_with_them() -> None:
    run = begun(*"abcd", max_parallel=2)
    run.admit("each[0]")
    run.pause()
    assert states(run) == "running running pending"
    run.state = reloaded(run.state)
    run.finish("each[0]")
    assert states(run) == "running succeeded pending"
    [blocker] = explain(run.state, "each[1]")
    assert (blocker.code, blocker.subject) == ("paused", "r")
    run.state = reloaded(run.state)
    run.resume()
    assert states(run) == "running succeeded ready ready"
    run.perform("each[1]", "each[2]", "each[3]", "after")
    assert run.status == "succeeded"


def test_items_that_all_end_while_the_run_is_paused_end_their_step() -> None:
    run = begun("a", "b")
    run.admit("each[0]", "each[1]")
    run.pause()
    run.finish("each[0]", outputs={"n": 0})
    run.finish("each[1]", outputs={"n": 1})
    assert (run.status, run["each"].status, run["after"].status) == (
        "paused",
        "succeeded",
        "pending",
    )
    assert plain_outputs(run["each"]) == [{"n": 0}, {"n": 1}]
    run.resume()
    run.perform("after")
    assert run.status == "succeeded"


def test_too_many_failed_items_end_their_step_in_a_paused_run() -> None:
    run = begun("a", "b")
    run.admit("each[0]")
    run.pause()
    run.finish("each[0]", "failed")
    assert states(run) == "failed failed cancelled"
    assert (run["each"].reason, run.status) == ("foreach_failed", "paused")
    run.resume()
    assert run.status == "failed"


def test_retries_of_items_wait_until_the_run_goes_on() -> None:
    run = begun("a", "b", retries=1)
    run.perform("each[0]", outcome="failed")
    run.pause()
    run.due("each[0]", after=1000 * SECOND)
    assert states(run) == "running pending pending"
    run.resume()
    assert states(run) == "running ready ready"
    assert run["each[0]"].failures == 1
    run.perform("each[0]", "each[1]")
    assert run["each"].status == "succeeded"


def test_a_list_that_was_to_be_evaluated_is_evaluated_when_the_run_goes_on() -> None:
    run = Journey.of(planned("each", foreach=Foreach([])))
    run.pause()
    assert run.expand("each", "a").ignored == "the step is not ready"
    run.resume()
    run.expand("each", "a")
    run.perform("each[0]")
    assert run.status == "succeeded"


@pytest.mark.parametrize("final", [False, True])
def test_a_paused_run_whose_items_all_wait_can_be_cancelled(final: bool) -> None:
    run = begun("a", "b", final=final)
    run.pause()
    assert states(run) == "running pending pending"
    run.cancel()
    assert (run.status, states(run)) == ("cancelled", "cancelled cancelled cancelled")


def test_a_paused_run_can_be_cleared_and_marked() -> None:
    run = begun("a", "b")
    run.pause()
    run.clear("each")
    assert states(run) == "pending pending pending"
    run.resume()
    run.expand("each", "a", "b")
    run.pause()
    assert transcript(run.mark("succeeded", "each"))[-2:] == [
        "each[0] pending → cancelled (cancelled)",
        "each[1] pending → cancelled (cancelled)",
    ]
    assert (run.status, run["each"].status) == ("paused", "succeeded")


def test_a_pending_item_says_what_it_waits_for() -> None:
    run = ended("failed", "succeeded")
    run.retry()
    [blocker] = explain(run.state, "each[0]")
    assert (blocker.code, blocker.subject) == ("limit", "each")
    assert blocker.message == "waits for its turn among the items of each"


# --- invariants ----------------------------------------------------------------------------------


def test_items_may_all_wait_only_while_the_run_is_paused() -> None:
    run = begun("a", "b")
    run.pause()
    held = run.state
    going = Journey.of(planned("a")).state.run
    state = RunState.of(held.plan, going, held.steps.values())
    assert "each is running with no open child" in invariants.check(state)


def test_an_item_that_was_skipped_and_is_there_again_is_named() -> None:
    run = begun("a", "b")
    run.perform("each[0]", "each[1]")
    run.clear("each")
    run.expand("each", "a")
    run.perform("each[0]")
    parent = run["each"]
    steps = {**run.state.steps, "each": replace(parent, items=("a", "b"))}
    state = RunState.of(run.state.plan, run.state.run, steps.values())
    assert "each[1] was skipped and has an item" in invariants.check(state)
