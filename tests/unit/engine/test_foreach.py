"""A step that runs once for each item: its children come a few at a time, and end it."""

from __future__ import annotations

from typing import Any

import pytest

from headway.plan.model import Foreach, PlanStep
from headway_coordinator.application.resolving import items_of
from headway_coordinator.engine import foreach as engine_foreach
from headway_coordinator.engine.model import plain_outputs
from tests.unit.engine.building import Journey, planned, reloaded, snapshot

EACH = Foreach("${{ steps.list.outputs.parts }}")


def each(*needs: str, final: bool = False, retries: int = 0, **how: Any) -> PlanStep:
    foreach = Foreach(EACH.items, **how)
    return planned("each", *needs, foreach=foreach, final=final, retries=retries)


def begun(*items: object, **how: Any) -> Journey:
    run = Journey.of(each(**how), planned("after", "each"))
    run.expand("each", *items)
    return run


def states(run: Journey) -> str:
    """Return the children's states in the order of the items."""
    return " ".join(str(child.status) for child in run.state.children_of("each"))


def test_every_item_runs_and_the_outputs_come_together_in_order() -> None:
    run = begun("a", "b", "c")
    for index in (2, 0, 1):
        run.admit(f"each[{index}]")
        run.finish(
            f"each[{index}]",
            outputs={"n": index},
            artifacts=({"path": "f", "sha256": "0" * 64, "size": 1},),
        )
    assert run["each"].status == "succeeded"
    assert plain_outputs(run["each"]) == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert [artifact["path"] for artifact in run["each"].artifacts] == ["0/f", "1/f", "2/f"]
    assert run["after"].status == "ready"


def test_no_item_at_all_is_a_success() -> None:
    run = begun()
    assert run["each"].status == "succeeded"
    assert plain_outputs(run["each"]) == []
    assert run["after"].status == "ready"


def test_no_more_at_once_than_may_run() -> None:
    run = begun(*"abcde", max_parallel=2)
    assert states(run) == "ready ready"
    run.perform("each[0]")
    assert states(run) == "succeeded ready ready"


def test_without_a_limit_children_are_made_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_foreach, "WINDOW", 4)
    run = begun(*range(9))
    assert states(run) == " ".join(["ready"] * 4)
    run.perform("each[0]")
    assert len(states(run).split()) == 4, "one by one would be a row at a time"
    run.perform("each[1]")
    assert len(states(run).split()) == 6
    for index in range(2, 9):
        run.perform(f"each[{index}]")
    assert run["each"].status == "succeeded"


def test_a_child_has_its_own_retries() -> None:
    run = begun("a", "b", retries=1)
    run.perform("each[0]", outcome="failed")
    assert run["each[0]"].status == "retry_wait"
    due = run["each[0]"].due_at
    assert due is not None
    run.due("each[0]", after=due - run.now)
    run.perform("each[0]", "each[1]")
    assert run["each"].status == "succeeded"


def test_once_too_many_have_failed_no_more_are_started() -> None:
    run = begun(*"abcd", max_parallel=1, failures=1)
    run.perform("each[0]", outcome="failed")
    assert states(run) == "failed ready"
    run.perform("each[1]", outcome="failed")
    assert states(run) == "failed failed"
    assert run["each"].status == "failed"
    assert run["each"].reason == "foreach_failed"
    assert run["each"].error == {
        "code": "foreach_failed",
        "message": "2 of 4 items failed: each[0], each[1]",
    }
    assert run["after"].status == "upstream_failed"
    assert run.status == "failed"


def test_those_that_run_meanwhile_end_before_the_step_does() -> None:
    run = begun(*"abc")
    run.admit("each[1]")
    run.perform("each[0]", outcome="failed")
    assert run["each"].status == "running"
    run.finish("each[1]")
    run.perform("each[2]")
    assert run["each"].status == "failed"


@pytest.mark.parametrize(("percent", "ends"), [(50.0, "succeeded"), (49.0, "failed")])
def test_a_share_may_fail(percent: float, ends: str) -> None:
    run = begun(*"abcd", failures_percent=percent)
    run.perform("each[0]", "each[1]", outcome="failed")
    run.perform("each[2]", "each[3]")
    assert run["each"].status == ends
    if ends == "succeeded":
        assert plain_outputs(run["each"]) == [{}, {}, {}, {}]


def test_a_cancelled_run_stops_its_children_and_makes_no_more() -> None:
    run = begun(*"abcd", max_parallel=2)
    run.admit("each[0]")
    run.cancel()
    assert states(run) == "running cancelled"
    assert run["each"].status == "running"
    run.withdraw("each[0]")
    assert run["each"].status == "cancelled"
    assert run.status == "cancelled"


def test_a_child_that_fails_while_the_run_is_cancelled_is_not_tried_again() -> None:
    run = begun("a", "b", retries=3)
    run.admit("each[0]")
    run.cancel()
    run.finish("each[0]", "failed")
    assert run["each[0]"].status == "failed"
    assert run.status == "cancelled"


def test_a_retry_makes_only_those_again_that_did_not_succeed() -> None:
    run = begun(*"abc")
    run.perform("each[0]", "each[2]")
    run.perform("each[1]", outcome="failed")
    run.retry()
    run.expand("each", *"abc")
    assert states(run) == "succeeded ready succeeded"
    run.perform("each[1]")
    assert run["each"].status == "succeeded"
    assert run["each[1]"].attempts == 2
    assert run["each"].attempts == 2


def test_other_items_after_a_retry_begin_anew() -> None:
    run = begun(*"abc")
    run.perform("each[0]", "each[2]")
    run.perform("each[1]", outcome="failed")
    run.retry()
    run.expand("each", "x", "y")
    assert run["each"].items == ("x", "y")
    assert states(run) == "ready ready"
    assert (run["each[2]"].status, run["each[2]"].reason) == ("skipped", "no_item")
    run.perform("each[0]", "each[1]")
    assert run["each"].status == "succeeded"


def test_what_waits_for_another_try_ends_with_a_run_that_is_cancelled_again() -> None:
    run = begun("a", "b")
    run.perform("each[0]")
    run.perform("each[1]", outcome="failed")
    run.retry()
    run.cancel()
    assert run.status == "cancelled"
    assert states(run) == "succeeded cancelled"


def test_a_lost_child_is_tried_again() -> None:
    run = begun("a")
    run.admit("each[0]")
    run.finish("each[0]", "lost", expired=True)
    assert run["each[0]"].status == "ready"
    run.perform("each[0]")
    assert run["each"].status == "succeeded"


def test_in_finally_a_second_cancel_stops_the_items() -> None:
    run = Journey.of(planned("main"), each(final=True, max_parallel=1))
    run.perform("main")
    run.expand("each", *"abc")
    run.admit("each[0]")
    run.cancel()
    assert run["each"].reason == "cancelling"
    run.finish("each[0]", "cancelled")
    assert states(run) == "cancelled"
    assert run["each"].status == "cancelled"


def test_outputs_that_are_too_much_are_not_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_foreach, "MAX_OUTPUTS_BYTES", 30)
    run = begun("a", "b")
    for key in ("each[0]", "each[1]"):
        run.admit(key)
        run.finish(key, outputs={"text": "0123456789"})
    assert run["each"].status == "succeeded"
    assert plain_outputs(run["each"]) == []
    assert run["each"].error is not None
    assert run["each"].error["code"] == "outputs_not_collected"
    assert plain_outputs(run["each[1]"]) == {"text": "0123456789"}


def test_items_come_once_and_only_for_a_step_that_has_some() -> None:
    run = Journey.of(each(), planned("other"))
    assert run.expand("other", 1).ignored == "the step has no items"
    assert run.expand("nobody", 1).ignored == "the step is not ready"
    run.expand("each", 1)
    assert run.expand("each", 2).ignored == "the step is not ready"
    assert run.expand("each[0]", 2).ignored == "the step is not ready"


def test_a_new_leader_finds_the_children_as_they_were() -> None:
    run = begun(*"abcde", max_parallel=2)
    run.perform("each[1]")
    assert snapshot(reloaded(run.state)) == snapshot(run.state)
    run.perform("each[0]", "each[2]", "each[3]")
    run.state = reloaded(run.state)
    run.perform("each[4]")
    assert run["each"].status == "succeeded"


def test_combinations_come_in_the_order_of_the_axes() -> None:
    assert items_of({"os": ["linux", "mac"], "n": [1, 2]}, is_matrix=True) == [
        {"os": "linux", "n": 1},
        {"os": "linux", "n": 2},
        {"os": "mac", "n": 1},
        {"os": "mac", "n": 2},
    ]


@pytest.mark.parametrize(
    ("value", "is_matrix", "said"),
    [
        ("text", False, "a list was expected, and this is a text"),
        (None, False, "a list was expected, and this is nothing"),
        ({"a": 1}, True, "a list was expected, and `a` is a number"),
        (list(range(10_001)), False, "10,001 items are more than 10,000"),
        ({"a": list(range(101)), "b": list(range(100))}, True, "10,100 items are more than"),
    ],
)
def test_what_are_no_items(value: object, is_matrix: bool, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        items_of(value, is_matrix=is_matrix)
