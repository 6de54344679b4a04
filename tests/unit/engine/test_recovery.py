"""What people ask of a run: steps cleared and marked, the run paused and resumed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from headway.plan.model import When
from headway_coordinator.engine.events import Admitted, Opened
from headway_coordinator.engine.model import StopAttempts
from headway_coordinator.engine.recovery import reach
from headway_coordinator.engine.states import RunStatus
from tests.unit.engine.building import QUEUE, Journey, plan, planned, reloaded, transcript

SECOND = timedelta(seconds=1)


def ended(*, fails: str = "") -> Journey:
    """Return a run of a → b → c, d beside them and a `finally` step, all of which has ended."""
    run = Journey.of(
        planned("a"),
        planned("b", "a"),
        planned("c", "b"),
        planned("d"),
        planned("z", final=True),
    )
    for key in "abcdz":
        if run[key].status == "ready":
            run.perform(key, outcome="failed" if key == fails else "succeeded")
    return run


# --- clear ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails", ["", "c", "d"])
def test_clearing_a_step_of_an_ended_run_does_it_and_what_follows_again(fails: str) -> None:
    run = ended(fails=fails)
    assert reach(run.state, ["b"], downstream=True) == ["b", "c", "z"]
    run.clear("b")
    kept = "failed" if fails == "d" else "succeeded"
    assert run.steps == f"a=succeeded b=ready c=pending d={kept} z=pending"
    facts = run.state.run
    assert (facts.status, facts.request, facts.finished_at) == (RunStatus.RUNNING, 1, None)
    run.perform("b", "c", "z")
    assert run.status == ("failed" if fails == "d" else "succeeded")
    assert (run["a"].attempts, run["b"].attempts, run["c"].attempts) == (1, 2, 2)


def test_clearing_only_a_step_keeps_what_follows() -> None:
    run = ended()
    assert reach(run.state, ["b"], downstream=False) == ["b", "z"]
    run.clear("b", only=True)
    assert run.steps == "a=succeeded b=ready c=succeeded d=succeeded z=pending"
    run.perform("b", "z")
    assert (run.status, run["c"].attempts) == ("succeeded", 1)


def test_what_was_left_out_is_decided_on_anew_even_if_only_its_need_is_cleared() -> None:
    run = ended(fails="b")
    run.clear("b", only=True)
    assert run.steps == "a=succeeded b=ready c=pending d=succeeded z=pending"
    run.perform("b", "c", "z")
    assert run.status == "succeeded"


def test_clearing_a_step_of_finally_leaves_the_others() -> None:
    run = ended()
    run.clear("z")
    assert run.steps == "a=succeeded b=succeeded c=succeeded d=succeeded z=ready"


def test_clearing_in_a_running_run() -> None:
    run = Journey.of(planned("a"), planned("b", "a"), planned("c"))
    run.perform("a")
    run.perform("b", outcome="failed")
    run.clear("a")
    assert run.steps == "a=ready b=pending c=ready"
    assert run.state.run.request == 0
    run.perform("a", "b", "c")
    assert run.status == "succeeded"


def test_a_live_attempt_of_a_cleared_step_refuses_the_request() -> None:
    run = Journey.of(planned("a"), planned("b", "a"), planned("c"))
    run.perform("a")
    run.admit("b")
    why = "b runs: wait for the end, or let it be stopped first (force)"
    assert run.clear("a").ignored == why
    assert run.clear("b", only=True).ignored == why


def test_a_step_cleared_after_it_was_marked_keeps_no_outputs_of_the_mark() -> None:
    run = Journey.of(planned("a"))
    run.admit("a")
    run.mark("succeeded", "a", force=True, rows=3)
    run.clear("a", force=True)
    run.finish("a", "cancelled")
    assert (run.steps, run["a"].outputs) == ("a=ready", {})


@pytest.mark.parametrize("outcome", ["cancelled", "succeeded", "failed", "lost", "withdrawn"])
@pytest.mark.parametrize("leader_changes", [False, True])
def test_a_live_attempt_is_stopped_first_if_that_is_asked(
    outcome: str, leader_changes: bool
) -> None:
    run = Journey.of(planned("a"), planned("b", "a"))
    run.perform("a")
    run.admit("b")
    decision = run.clear("a", force=True)
    assert decision.effects == (StopAttempts("r", ("r-1-1",), "clearing", running=True),)
    assert run.steps == "a=ready b=running"
    if leader_changes:
        run.state = reloaded(run.state)
    if outcome == "withdrawn":
        run.withdraw("b", "clearing")
    else:
        run.finish("b", outcome)
    assert run.steps == "a=ready b=pending"
    assert (run["b"].attempts, run["b"].failures, run["b"].losses) == (1, 0, 0)
    run.perform("a", "b")
    assert (run.status, run["b"].attempts) == ("succeeded", 2)


def test_a_step_that_is_being_cleared_is_cancelled_with_its_run() -> None:
    run = Journey.of(planned("a"))
    run.admit("a")
    run.clear("a", force=True)
    run.cancel()
    run.finish("a", "cancelled")
    assert (run.status, run.steps) == ("cancelled", "a=cancelled")


def test_only_is_refused_while_what_follows_has_started() -> None:
    run = Journey.of(planned("a"), planned("b", "a"))
    run.perform("a")
    why = "b, which needs a, has started: clear what follows, too"
    assert run.clear("a", only=True).ignored == why
    run.clear("a")
    assert run.steps == "a=ready b=pending"


def test_finally_that_has_begun_must_end_first() -> None:
    run = Journey.of(planned("a"), planned("z", final=True))
    run.perform("a")
    assert run.clear("a").ignored == "`finally` has begun: wait until the run has ended"
    assert run.mark("failed", "a").ignored == "`finally` has begun: wait until the run has ended"


@pytest.mark.parametrize(
    ("step", "why"),
    [("x", "the run has no step x"), ("b", "none of the steps has begun")],
)
def test_what_cannot_be_cleared_is_said(step: str, why: str) -> None:
    run = Journey.of(planned("a"), planned("b", "a"))
    assert (run.clear(step).ignored or "").startswith(why)


def test_a_run_that_is_being_cancelled_is_not_touched() -> None:
    run = Journey.of(planned("a"), planned("b"))
    run.perform("b")
    run.admit("a")
    run.cancel()
    assert (run.clear("b").ignored or "").startswith("the run is cancelling")
    assert (run.mark("failed", "b").ignored or "").startswith("the run is cancelling")


def test_a_step_whose_need_is_cleared_in_vain_ends_as_before() -> None:
    run = ended(fails="a")
    run.clear("b")
    assert run.steps == "a=failed b=upstream_failed c=upstream_failed d=succeeded z=ready"


# --- mark ----------------------------------------------------------------------------------------


def test_a_failed_step_marked_succeeded_lets_the_run_go_on() -> None:
    run = ended(fails="b")
    assert run.steps == "a=succeeded b=failed c=upstream_failed d=succeeded z=succeeded"
    run.mark("succeeded", "b", rows=3)
    assert run.steps == "a=succeeded b=succeeded c=ready d=succeeded z=pending"
    assert run["b"].outputs == {"rows": 3}
    assert run["b"].reason == "marked by ann: so it is"
    run.perform("c", "z")
    assert (run.status, run.state.run.request, run["b"].attempts) == ("succeeded", 1, 1)


def test_marking_the_last_failed_step_ends_the_run_as_succeeded_at_once() -> None:
    run = ended(fails="c")
    run.mark("succeeded", "c")
    assert (run.status, run.state.run.request) == ("succeeded", 1)
    assert (run["z"].status, run["z"].attempts) == ("succeeded", 1)


def test_other_failed_steps_stay_failed() -> None:
    run = Journey.of(planned("a"), planned("b", "a"), planned("c"))
    run.perform("a", "c", outcome="failed")
    run.mark("succeeded", "a")
    assert run.steps == "a=succeeded b=ready c=failed"
    run.perform("b")
    assert (run.status, run.state.run.reason) == ("failed", "step c failed")


def test_a_succeeded_step_marked_failed_fails_the_run() -> None:
    run = ended()
    run.mark("failed", "d")
    assert (run.status, run.state.run.reason) == ("failed", "step d failed")


@pytest.mark.parametrize("when", ["pending", "ready", "retry_wait"])
def test_a_step_that_has_not_ended_is_marked(when: str) -> None:
    run = Journey.of(planned("a", retries=1), planned("b", "a"), planned("c"))
    if when == "pending":
        run.mark("skipped", "b")
        run.perform("a", "c")
        assert (run.status, run["b"].status) == ("succeeded", "skipped")
        return
    if when == "retry_wait":
        run.perform("a", outcome="failed")
    run.mark("skipped", "a")
    assert run.steps == "a=skipped b=skipped c=ready"
    assert run.take(Admitted("a", QUEUE, {})).ignored == "the step is not ready"


def test_what_a_person_skipped_stays_skipped_when_its_need_is_marked() -> None:
    run = Journey.of(planned("a"), planned("b", "a"), planned("c", "b"), planned("d"))
    run.mark("skipped", "b")
    run.perform("a", outcome="failed")
    run.mark("succeeded", "a")
    assert run.steps == "a=succeeded b=skipped c=skipped d=ready"


def test_a_live_step_is_marked_only_by_force_and_once_it_has_ended() -> None:
    run = Journey.of(planned("a"), planned("b", "a"))
    run.admit("a")
    why = "a runs: wait for the end, or let it be stopped first (force)"
    assert run.mark("succeeded", "a").ignored == why
    run.mark("succeeded", "a", force=True, rows=3)
    run.state = reloaded(run.state)
    assert run.steps == "a=running b=pending"
    run.finish("a", "cancelled")
    assert run.steps == "a=succeeded b=ready"
    assert (run["a"].outputs, run["a"].reason) == ({"rows": 3}, "marked by ann: so it is")


def test_a_forced_mark_outlives_a_cancel() -> None:
    run = Journey.of(planned("a"), planned("z", final=True))
    run.perform("a")
    run.admit("z")
    run.mark("succeeded", "z", force=True)
    run.cancel()
    run.finish("z", "lost")
    assert (run.status, run.steps) == ("cancelled", "a=succeeded z=succeeded")


def test_a_mark_is_refused_where_it_would_take_the_ground_from_what_started() -> None:
    run = Journey.of(planned("a"), planned("b", "a"))
    run.perform("a")
    run.admit("b")
    why = "b, which needs a, has started: wait until it has ended"
    assert run.mark("failed", "a").ignored == why


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        (["a"], "nothing to do: a succeeded already"),
        (["a", "z"], "mark steps of `finally` by themselves"),
    ],
)
def test_marks_that_make_no_sense_are_refused(keys: list[str], why: str) -> None:
    assert ended().mark("succeeded", *keys).ignored == why


def test_finally_is_marked_once_its_turn_has_come() -> None:
    run = Journey.of(planned("a"), planned("y", final=True), planned("z", "y", final=True))
    assert (run.mark("skipped", "z").ignored or "").startswith("a step of `finally` can")
    run.perform("a")
    run.mark("succeeded", "y")
    assert run.steps == "a=succeeded y=succeeded z=ready"


# --- pause ---------------------------------------------------------------------------------------


def test_a_paused_run_lets_what_runs_go_on_and_starts_nothing() -> None:
    run = Journey.of(
        planned("a"), planned("b", "a"), planned("c", queue_timeout=SECOND), planned("d", retries=1)
    )
    run.admit("a", "d")
    run.pause()
    assert run.steps == "a=running b=pending c=pending d=running"
    assert (run["c"].ready_at, run["c"].due_at) == (None, None)
    run.finish("a")
    run.finish("d", "failed")
    run.due("d", after=timedelta(minutes=5))
    assert run.steps == "a=succeeded b=pending c=pending d=pending"
    assert run.take(Admitted("b", QUEUE, {})).ignored == "the step is not ready"
    run.resume()
    assert run.steps == "a=succeeded b=ready c=ready d=ready"
    assert run["d"].failures == 1
    run.perform("b", "c", "d")
    assert (run.status, run.state.run.paused) == ("succeeded", None)


def test_a_lost_attempt_of_a_paused_run_waits() -> None:
    run = Journey.of(planned("a"))
    run.admit("a")
    run.pause()
    run.finish("a", "lost")
    assert (run.steps, run["a"].losses) == ("a=pending", 1)
    run.resume()
    assert run.steps == "a=ready"


def test_finally_waits_in_a_paused_run_and_the_last_step_ends_it() -> None:
    run = Journey.of(planned("a"), planned("z", final=True))
    run.admit("a")
    run.pause()
    run.finish("a")
    assert (run.status, run.steps) == ("paused", "a=succeeded z=pending")
    run.resume()
    run.admit("z")
    run.pause()
    run.finish("z")
    assert (run.status, run.state.run.paused) == ("succeeded", None)


def test_the_deadline_comes_and_a_cancel_works_while_it_is_paused() -> None:
    run = Journey.of(planned("a"), timeout=60 * SECOND)
    run.pause()
    run.due(after=61 * SECOND)
    assert run.status == "timed_out"
    run = Journey.of(planned("a"))
    run.pause()
    run.cancel()
    assert (run.status, run.state.run.paused) == ("cancelled", None)


def test_a_condition_is_decided_when_the_run_goes_on() -> None:
    run = Journey.of(planned("a"), planned("b", condition="x", when=When.ALL_DONE))
    run.admit("a")
    run.pause()
    assert run.decide("b", True).ignored == "the step does not wait for its condition"
    assert transcript(run.resume()) == ["run paused → running", "decide b"]
    run.decide("b", True)
    assert run.steps == "a=running b=ready"


def test_steps_of_a_paused_run_can_be_cleared_and_marked() -> None:
    run = Journey.of(planned("a"), planned("b", "a"))
    run.perform("a")
    run.pause()
    run.clear("a")
    assert run.steps == "a=pending b=pending"
    run.mark("succeeded", "a")
    assert run.steps == "a=succeeded b=pending"
    run.resume()
    assert run.steps == "a=succeeded b=ready"


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_only_what_runs_is_paused_and_only_what_is_paused_is_resumed(verb: str) -> None:
    run = ended()
    ignored = run.pause() if verb == "pause" else run.resume()
    assert (ignored.ignored or "").endswith("this one is succeeded")


# --- runs that take turns ------------------------------------------------------------------------


def in_turns() -> Journey:
    """Return a run of a group: it has begun, and a → b has failed at b."""
    graph = plan(planned("a"), planned("b", "a"), planned("z", final=True))
    run = Journey(graph, group="g")
    run.take(Opened())
    run.perform("a")
    run.perform("b", outcome="failed")
    run.perform("z")
    return run


def test_a_run_of_a_group_takes_its_turn_again() -> None:
    run = in_turns()
    run.clear("b")
    assert (run.status, run.steps) == ("queued", "a=succeeded b=pending z=pending")
    assert (run.pause().ignored or "").endswith("this one is queued")
    assert (run.mark("failed", "a").ignored or "").startswith("the run is queued")
    run.take(Opened())
    run.perform("b", "z")
    assert run.status == "succeeded"


def test_finally_alone_waits_for_the_turn_too() -> None:
    run = in_turns()
    run.clear("z")
    assert (run.status, run.steps) == ("queued", "a=succeeded b=failed z=pending")
    run.take(Opened())
    run.perform("z")
    assert run.status == "failed"


def test_a_retry_of_which_only_finally_is_left_waits_for_the_turn() -> None:
    graph = plan(planned("a"), planned("z", final=True))
    run = Journey(graph, group="g")
    run.take(Opened())
    run.perform("a")
    run.perform("z", outcome="failed")
    run.retry()
    assert (run.status, run.steps) == ("queued", "a=succeeded z=pending")


def test_a_mark_that_leaves_nothing_to_do_needs_no_turn() -> None:
    run = in_turns()
    run.mark("succeeded", "b")
    assert run.status == "succeeded"


def test_a_mark_does_not_take_back_what_another_step_has_begun_after() -> None:
    run = Journey.of(
        planned("a"),
        planned("b", "a", when=When.ANY_FAILED),
        planned("c", "b", when=When.ANY_FAILED),
    )
    run.perform("a", outcome="failed")
    run.perform("b", outcome="cancelled")
    run.admit("c")
    run.mark("succeeded", "a")
    assert run.steps == "a=succeeded b=cancelled c=running"
