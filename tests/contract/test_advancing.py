"""Contract of the advancing transaction: every write carries what it expects."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from headway_coordinator.application.advancing_ports import AuditEntry, Withdrawal
from headway_coordinator.application.ports import PreconditionFailed
from headway_coordinator.engine.model import (
    AttemptMade,
    Live,
    RunMoved,
    Step,
    StepMoved,
    StopAttempts,
)
from headway_coordinator.engine.states import RunStatus, StepStatus
from tests.contract.world import (
    GONE,
    MINUTE,
    NOW,
    QUEUE,
    TEAM,
    World,
    ended,
    state,
    work,
)


def test_a_created_run_is_loaded_as_it_was(world: World) -> None:
    made = state("r1", deadline_at=NOW, verdict=RunStatus.TIMED_OUT, reason="why", request=2)
    made.steps["load"] = Step(
        "load",
        StepStatus.FAILED,
        attempts=3,
        failures=2,
        losses=1,
        reason="timed_out",
        due_at=NOW,
        ready_at=NOW,
        finished_at=NOW,
        outputs={"z": [1, 2.5, None, "ü\n\"'\\"], "a": {"b": True}},
        artifacts=({"path": "x", "sha256": "0" * 64, "size": 1},),
        error={"code": "failed", "message": "no"},
    )
    world.create(made)
    stored = world.load("r1")
    assert stored.run == made.run
    assert stored.steps == tuple(made.steps.values())
    assert list(stored.steps[1].outputs) == ["z", "a"]
    assert stored.withdrawn == ()


def test_a_run_is_created_once(world: World) -> None:
    world.create(state("r1"))
    with pytest.raises(PreconditionFailed):
        world.create(state("r2"), state("r1"))
    assert world.storage.runs.open_ids() == ["r1"]


def test_moves_are_refused_when_the_row_is_not_as_expected(world: World) -> None:
    world.create(state("r1"))
    ready = world.step("r1", "extract")
    for wrong in (replace(ready, status=StepStatus.PENDING), replace(ready, attempts=1)):
        with pytest.raises(PreconditionFailed), world.storage.advancing(world.lease) as tx:
            tx.move_steps([("r1", StepMoved(wrong, replace(ready, status=StepStatus.DEFERRED)))])
    there = world.load("r1").run
    for before in (replace(there, status=RunStatus.PAUSED), replace(there, request=1)):
        with pytest.raises(PreconditionFailed), world.storage.advancing(world.lease) as tx:
            tx.move_runs([RunMoved(before, replace(there, status=RunStatus.FAILED))])
    assert world.load("r1").run == there
    assert world.step("r1", "extract") == ready


def test_one_wrong_row_undoes_the_whole_transaction(world: World) -> None:
    world.create(state("r1"))
    ready = world.step("r1", "extract")
    moved = replace(ready, status=StepStatus.DEFERRED)

    def advance() -> None:
        with world.storage.advancing(world.lease) as tx:
            tx.create_runs([state("r2")])
            tx.move_steps([("r1", StepMoved(ready, moved)), ("nope", StepMoved(ready, moved))])

    with pytest.raises(PreconditionFailed):
        advance()
    assert world.step("r1", "extract") == ready
    assert world.storage.runs.load(["r2"]) == []


def test_moves_of_one_thing_in_a_batch_are_joined(world: World) -> None:
    world.create(state("r1", status=RunStatus.QUEUED))
    queued, ready = world.load("r1").run, world.step("r1", "extract")
    running = replace(queued, status=RunStatus.RUNNING, started_at=NOW)
    failed = replace(running, status=RunStatus.FAILED, finished_at=NOW)
    waiting = replace(ready, status=StepStatus.DEFERRED)
    done = replace(waiting, status=StepStatus.SUCCEEDED, outputs={"n": 1})
    with world.storage.advancing(world.lease) as tx:
        tx.move_runs([RunMoved(queued, running), RunMoved(running, failed)])
        tx.move_steps([("r1", StepMoved(ready, waiting)), ("r1", StepMoved(waiting, done))])
    assert world.load("r1").run == failed
    assert world.step("r1", "extract") == done


def test_a_step_has_one_live_attempt(world: World) -> None:
    first = world.dispatched()
    second = AttemptMade("r1-0-2", "r1", "extract", 2, 2, TEAM, QUEUE, work("r1", "extract", 2))
    with pytest.raises(PreconditionFailed), world.storage.advancing(world.lease) as tx:
        tx.make_attempts([second], MINUTE)
    world.register()
    world.claim([first])
    with pytest.raises(PreconditionFailed), world.storage.advancing(world.lease) as tx:
        tx.make_attempts([second], MINUTE)
    with world.storage.advancing(world.lease) as tx:
        tx.end_attempts([ended(first, "lost")])
        tx.make_attempts([second], MINUTE)
    assert world.state_of(second) == "dispatched"


def test_a_loaded_step_knows_its_live_attempt(world: World) -> None:
    made = world.dispatched()
    live = Live(made.attempt, 1, 1, QUEUE)
    assert world.step("r1", "extract").live == live
    world.register()
    world.claim([made])
    assert world.step("r1", "extract").live == live
    assert world.step("r1", "load").live is None


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "timed_out", "cancelled", "lost"])
def test_a_running_attempt_ends_once(world: World, outcome: str) -> None:
    made = world.running()
    with pytest.raises(PreconditionFailed):
        world.end(made, outcome, fence=2)
    world.end(made, outcome, exit_code=10**30, error={"code": "c"}, log_bytes=7)
    assert world.state_of(made) == outcome
    with pytest.raises(PreconditionFailed):
        world.end(made, outcome)


def test_a_dispatched_attempt_does_not_end(world: World) -> None:
    made = world.dispatched()
    with pytest.raises(PreconditionFailed):
        world.end(made)
    assert world.state_of(made) == "dispatched"


def test_an_attempt_is_lost_only_when_its_lease_has_run_out(world: World) -> None:
    held = world.running("r0")
    with pytest.raises(PreconditionFailed):
        world.end(held, "lost", expired=True)
    made = world.running("r1", lease=GONE)
    [expired] = world.storage.sweeps.expired()
    assert (expired.run, expired.attempt, expired.fence, expired.reaped) == (
        "r1",
        made.attempt,
        1,
        False,
    )
    world.end(made, "lost", expired=True)
    assert world.state_of(made) == "lost"
    assert world.storage.sweeps.expired() == []


def test_stopping_withdraws_what_is_dispatched_and_asks_what_runs(world: World) -> None:
    waiting, held = world.dispatched("r1"), world.running("r2")
    stops = [StopAttempts(m.run, (m.attempt,), "cancelled", True) for m in (waiting, held)]
    with world.storage.advancing(world.lease) as tx:
        assert tx.stop_attempts(stops) == [Withdrawal("r1", waiting.attempt, 1, "cancelled")]
    assert (world.state_of(waiting), world.state_of(held)) == ("cancelled", "running")
    assert world.beat(running=[held]).cancel == [held.attempt]
    with world.storage.advancing(world.lease) as tx:
        assert tx.stop_attempts(stops) == []


def test_what_runs_is_given_less_time_when_asked_again_never_more(world: World) -> None:
    held = world.running()

    def stop(grace_s: float | None) -> dict[str, int]:
        grace = None if grace_s is None else timedelta(seconds=grace_s)
        with world.storage.advancing(world.lease) as tx:
            tx.stop_attempts([StopAttempts("r1", (held.attempt,), "cancelled", True, grace)])
        beat = world.beat(running=[held])
        assert beat.cancel == [held.attempt]
        return dict(beat.grace_ms)

    assert stop(60) == {held.attempt: 60_000}
    assert stop(90) == {held.attempt: 60_000}
    assert stop(None) == {held.attempt: 60_000}
    assert stop(2.5) == {held.attempt: 2_500}
    assert stop(0) == {held.attempt: 0}


def test_the_usual_grace_is_not_spoken_of(world: World) -> None:
    held = world.running()
    world.stop(held)
    assert world.beat(running=[held]).grace_ms == {}
    with world.storage.advancing(world.lease) as tx:
        tx.stop_attempts([StopAttempts("r1", (held.attempt,), "cancelled", True, timedelta())])
    assert world.beat(running=[held]).grace_ms == {held.attempt: 0}


def test_stopping_may_leave_what_runs(world: World) -> None:
    held = world.running()
    assert world.stop(held, running=False) == 0
    assert world.beat(running=[held]).cancel == []


def test_a_withdrawal_that_its_step_has_not_heard_of_is_loaded(world: World) -> None:
    made = world.dispatched()
    world.stop(made, reason="queue_timeout")
    stored = world.load("r1")
    assert stored.withdrawn == (Withdrawal("r1", made.attempt, 1, "queue_timeout"),)
    live = stored.steps[0]
    assert live.live == Live(made.attempt, 1, 1, QUEUE)
    with world.storage.advancing(world.lease) as tx:
        over = replace(live, status=StepStatus.CANCELLED, live=None)
        tx.move_steps([("r1", StepMoved(live, over))])
    assert world.load("r1").withdrawn == ()


def test_redispatch_counts_what_is_still_dispatched(world: World) -> None:
    first, second, held = (
        world.dispatched("r1", claim_within=GONE),
        world.dispatched("r2", claim_within=GONE),
        world.running("r3"),
    )
    sweeps = world.storage.sweeps
    assert [u.dispatch.attempt for u in sweeps.overdue()] == [first.attempt, second.attempt]
    names = [(first.attempt, 1), (second.attempt, 2), (held.attempt, 1)]
    with world.storage.advancing(world.lease) as tx:
        assert tx.redispatch(names, [MINUTE, MINUTE, MINUTE]) == [first.attempt]
        deadline = tx.now + MINUTE
    assert [u.dispatch.attempt for u in sweeps.overdue()] == [second.attempt]
    [again, _] = sweeps.unclaimed()
    assert again.dispatch.dispatch_no == 2
    assert again.claim_deadline == deadline
    assert again.dispatch.model_dump() == {
        "v": 1,
        "team": TEAM,
        "run": "r1",
        "step": "extract",
        "attempt": first.attempt,
        "fence": 1,
        "dispatch_no": 2,
        "queue": QUEUE,
    }


def test_occupancy_counts_live_attempts(world: World) -> None:
    world.dispatched("r1")
    world.dispatched("r2")
    world.running("r3")
    world.end(world.running("r4"))
    counted = {(o.queue, o.state, o.worker): o.count for o in world.storage.sweeps.occupancy()}
    assert counted == {(QUEUE, "dispatched", None): 2, (QUEUE, "running", "w1"): 1}


def test_a_quarantined_run_is_not_open_and_an_ended_one_is_left(world: World) -> None:
    world.create(state("r1"), state("r2"), state("r3", status=RunStatus.FAILED))
    with world.storage.advancing(world.lease) as tx:
        for id in ("r1", "r3", "nope"):
            tx.quarantine(id, "bad\x00 row")
    assert world.storage.runs.open_ids() == ["r2"]
    shown = world.storage.queries.run("r1")
    assert shown is not None
    assert shown["quarantine"] == "bad\ufffd row"


def test_a_quarantined_run_keeps_no_slot_when_its_attempts_have_ended(world: World) -> None:
    waiting, running = world.dispatched("r1"), world.running("r1", "load")
    with world.storage.advancing(world.lease) as tx:
        tx.quarantine("r1", "bad row")
    assert world.state_of(waiting) == "cancelled"
    assert world.state_of(running) == "running"
    for _ in range(2):  # told twice, it counts once
        with world.storage.advancing(world.lease) as tx:
            tx.settle_attempts([ended(running, "failed"), ended(running, fence=99)])
    assert world.state_of(running) == "failed"
    assert world.storage.sweeps.occupancy() == []


def test_open_runs_come_oldest_first(world: World) -> None:
    later, earlier = NOW + timedelta(microseconds=1), NOW - timedelta(microseconds=123456)
    world.create(
        state("r1", created_at=later), state("r2"), state("r3", created_at=earlier), state("r0")
    )
    assert world.storage.runs.open_ids() == ["r3", "r0", "r2", "r1"]
    assert world.storage.runs.open_ids(limit=1) == ["r3"]


def test_the_audit_names_epoch_and_holder(world: World) -> None:
    transitions = [{"entity": "step", "from": "ready", "to": "running"}]
    with world.storage.advancing(world.lease) as tx:
        tx.audit([AuditEntry(f"r{n}", TEAM, "ann", transitions) for n in (1, 2, 3)])
    rows, cursor = world.storage.queries.audit(run=None, teams=[TEAM], limit=2, cursor=None)
    assert [row["run"] for row in rows] == ["r3", "r2"]
    rows, cursor = world.storage.queries.audit(run=None, teams=None, limit=2, cursor=cursor)
    assert cursor is None
    assert [(r["run"], r["epoch"], r["holder"], r["actor"], r["transitions"]) for r in rows] == [
        ("r1", world.lease.epoch, "leader", "ann", transitions)
    ]
    assert world.storage.queries.audit(run="r2", teams=["x"], limit=2, cursor=None) == ([], None)


def test_nothing_is_written_when_the_block_fails(world: World) -> None:
    class Stop(Exception):
        pass

    def advance() -> None:
        with world.storage.advancing(world.lease) as tx:
            tx.create_runs([state("r1")])
            raise Stop

    with pytest.raises(Stop):
        advance()
    assert world.storage.runs.load(["r1"]) == []


def test_text_that_a_database_cannot_hold_is_replaced(world: World) -> None:
    made = state("r1", params={"a\x00": "\x00\ud800", "deep": [{"x": "\x00"}], "big": 2**70})
    made.steps["load"] = Step("load", StepStatus.FAILED, reason="\x00why\udfff")
    world.create(made)
    stored = world.load("r1")
    assert stored.run.params == {"a\ufffd": "\ufffd\ufffd", "deep": [{"x": "\ufffd"}], "big": 2**70}
    assert stored.steps[1].reason == "\ufffdwhy\ufffd"


def test_empty_batches_do_nothing(world: World) -> None:
    with world.storage.advancing(world.lease) as tx:
        tx.create_runs([])
        tx.move_runs([])
        tx.move_steps([])
        tx.make_attempts([], MINUTE)
        tx.end_attempts([])
        tx.mark_applied([])
        tx.audit([])
        assert tx.stop_attempts([]) == []
        assert tx.redispatch([], []) == []
    assert world.storage.runs.load([]) == []


def test_items_and_children_are_loaded_as_they_were_written(world: World) -> None:
    items = ({"part": "a", "ü": None}, [1, 2.5], "text", 2**40, True)
    after = world.spread(*items)
    assert world.step("r1", "extract") == after
    keys = [step.key for step in world.load("r1").steps]
    assert sorted(keys) == sorted(["extract", "load", *(f"extract[{i}]" for i in range(5))])
    assert world.step("r1", "extract[3]") == Step("extract[3]", StepStatus.READY, ready_at=NOW)


def test_a_child_is_made_once(world: World) -> None:
    world.spread(1)
    planned = state("r1").plan.by_key["extract"]
    with (
        pytest.raises(PreconditionFailed),
        world.storage.advancing(world.lease) as transaction,
    ):
        transaction.expand_steps([], [(state("r1").run, planned, Step("extract[0]"))])


def test_items_are_written_for_a_step_in_its_new_state_alone(world: World) -> None:
    world.create(state("r1"))
    elsewhere = replace(world.step("r1", "extract"), status=StepStatus.RUNNING, items=(1,))
    with (
        pytest.raises(PreconditionFailed),
        world.storage.advancing(world.lease) as transaction,
    ):
        transaction.expand_steps([("r1", elsewhere)], [])
    assert world.step("r1", "extract").items is None


def test_outputs_may_be_a_list_one_for_each_item(world: World) -> None:
    before = world.spread("a", "b")
    after = replace(
        before, status=StepStatus.SUCCEEDED, finished_at=NOW, outputs=({"n": 1}, {"n": 2})
    )
    with world.storage.advancing(world.lease) as transaction:
        transaction.move_steps([("r1", StepMoved(before, after))])
    assert world.step("r1", "extract") == after
