"""A batch: moves are joined, runs are kept apart, and nothing reaches the state below."""

from __future__ import annotations

from datetime import timedelta

from headway.errors import DefectError
from headway_coordinator.application.batch import Batch, Incoming
from headway_coordinator.engine.events import (
    Admitted,
    CancelRequested,
    Due,
    Event,
    Finished,
    RetryRequested,
)
from headway_coordinator.engine.model import StopAttempts
from headway_coordinator.engine.state import RunState
from headway_coordinator.engine.states import RunStatus, StepStatus
from tests.unit.engine.building import QUEUE, START, plan, planned, queued_run, snapshot

CHAIN = plan(planned("a", retries=1), planned("b", "a"))
NO_RUNS: dict[str, RunState] = {}


def started(*runs: str) -> dict[str, RunState]:
    """Return runs whose first step has been dispatched, as they are in memory."""
    batch = Batch(START, NO_RUNS.get)
    for run in runs:
        batch.create(CHAIN, queued_run(CHAIN, run), inbox=0, actor="ann")
        batch.take(Incoming(run, Admitted("a", QUEUE, {})))
    return {run: touched.commit(None) for run, touched in batch.touched.items()}


def laid_over(memory: dict[str, RunState], *events: tuple[str, Event], later: int = 0) -> Batch:
    batch = Batch(START + timedelta(seconds=later), memory.get)
    for run, event in events:
        batch.take(Incoming(run, event))
    return batch


def ended(run: str, outcome: str = "succeeded", step: int = 0, no: int = 1) -> tuple[str, Event]:
    return run, Finished(f"{run}-{step}-{no}", no, outcome)


def test_all_moves_of_a_step_become_one_from_what_is_stored() -> None:
    memory = started("r")
    due = memory["r"].steps["a"]
    batch = laid_over(memory, ended("r", "failed"))
    batch.now += timedelta(minutes=10)
    batch.take(Incoming("r", Due("a")))
    batch.take(Incoming("r", Admitted("a", QUEUE, {})))
    [(run, move)] = batch.step_moves()
    assert run == "r"
    assert move.before == due
    assert (move.after.status, move.after.attempts) == (StepStatus.RUNNING, 2)
    assert [e.attempt for e in batch.ended()] == ["r-0-1"]
    assert [m.attempt for m in batch.made()] == ["r-0-2"]


def test_moves_of_the_run_itself_are_joined_too() -> None:
    memory = started("r")
    batch = laid_over(memory, ended("r", "failed"), ("r", CancelRequested("bob")))
    [move] = batch.run_moves()
    assert (move.before.status, move.after.status) == (RunStatus.RUNNING, RunStatus.CANCELLED)


def test_a_new_run_is_created_as_the_batch_leaves_it_and_moved_by_nothing() -> None:
    batch = Batch(START, NO_RUNS.get)
    batch.create(CHAIN, queued_run(CHAIN), inbox=7, actor="ann")
    batch.take(Incoming("r", Admitted("a", QUEUE, {"body": {}})))
    [state] = batch.created()
    assert state.run.status is RunStatus.RUNNING
    assert state.steps["a"].status is StepStatus.RUNNING
    assert batch.run_moves() == []
    assert batch.step_moves() == []
    assert [m.attempt for m in batch.made()] == ["r-0-1"]
    assert batch.inbox == [(7, "applied")]


def test_a_run_that_exists_is_not_created_again() -> None:
    memory = started("r")
    batch = Batch(START, memory.get)
    batch.create(CHAIN, queued_run(CHAIN), inbox=8, actor="ann")
    assert batch.inbox == [(8, "duplicate")]
    assert batch.created() == []


def test_the_state_below_stands_still_until_the_commit() -> None:
    memory = started("r")
    before = snapshot(memory["r"])
    batch = laid_over(memory, ended("r"))
    assert snapshot(memory["r"]) == before
    committed = batch.touched["r"].commit(memory["r"])
    assert committed is memory["r"]
    assert committed.steps["a"].status is StepStatus.SUCCEEDED
    assert snapshot(committed) == snapshot(batch.touched["r"].state)


def test_what_is_ignored_is_noted_with_its_reason_and_its_inbox_row() -> None:
    memory = started("r")
    batch = laid_over(memory, ended("r"))
    batch.take(Incoming("r", ended("r")[1], inbox=3))
    batch.take(Incoming("gone", ended("gone")[1], inbox=4))
    assert batch.inbox == [(3, "stale: the attempt is not live"), (4, "no such run")]
    assert [reason for _, reason in batch.ignored] == [text for _, text in batch.inbox]
    assert len(batch.finished) == 1


def test_a_run_with_a_defect_leaves_nothing_behind_but_the_defect() -> None:
    memory = started("r", "s")
    batch = laid_over(memory, ended("s"), ("r", CancelRequested("bob")), ended("r"))
    assert any(isinstance(effect, StopAttempts) for _, effect in batch.effects)
    batch.set_aside("r", DefectError("broken", "no sense in it"))
    assert list(batch.touched) == ["s"]
    assert batch.stops() == []
    assert {run for run, _ in batch.step_moves()} == {"s"}
    batch.take(Incoming("r", ended("r")[1], inbox=5))
    assert batch.inbox == [(5, "quarantined")]
    assert batch.has_writes()


def test_a_batch_of_stale_events_writes_nothing() -> None:
    batch = laid_over(started("r"), ("r", Due("a")), ("r", RetryRequested("bob")))
    assert not batch.has_writes()
    assert len(batch.ignored) == 2


def test_a_persons_wish_is_audited_even_if_it_changes_nothing() -> None:
    memory = started("r")
    batch = Batch(START, memory.get)
    batch.take(Incoming("r", RetryRequested("bob"), actor="bob", inbox=1))
    [entry] = batch.audit()
    assert entry.transitions[0]["asked"] == "RetryRequested"
    assert "only a run that ended" in entry.transitions[0]["ignored"]
    assert batch.has_writes()


def test_the_audit_names_who_asked_and_every_transition_in_order() -> None:
    memory = started("r")
    batch = laid_over(memory, ended("r", "failed"))
    batch.take(Incoming("r", CancelRequested("bob"), actor="bob", inbox=1))
    [entry] = batch.audit()
    assert entry.actor == "bob"
    told = [(t["entity"], t.get("from"), t.get("to")) for t in entry.transitions]
    assert told == [
        ("request", None, None),
        ("attempt", "running", "failed"),
        ("step", "running", "retry_wait"),
        ("run", "running", "cancelling"),
        ("step", "retry_wait", "cancelled"),
        ("step", "pending", "cancelled"),
        ("run", "cancelling", "cancelled"),
    ]


def test_a_timer_alone_is_no_transition() -> None:
    patient = plan(planned("a", queue_timeout=timedelta(seconds=5)))
    batch = Batch(START, NO_RUNS.get)
    batch.create(patient, queued_run(patient), inbox=0, actor="ann")
    batch.take(Incoming("r", Admitted("a", QUEUE, {})))
    memory = {"r": batch.touched["r"].commit(None)}
    late = laid_over(memory, ("r", Due("a")), later=5)
    assert [s.reason for s in late.stops()] == ["queue_timeout"]
    assert late.audit() == []
    assert late.has_writes()


def test_how_long_steps_were_ready_and_ran() -> None:
    batch = Batch(START, NO_RUNS.get)
    batch.create(CHAIN, queued_run(CHAIN), inbox=0, actor="ann")
    memory = {"r": batch.touched["r"].commit(None)}
    later = Batch(START + timedelta(seconds=4), memory.get)
    later.take(Incoming("r", Admitted("a", QUEUE, {})))
    assert later.queue_waits() == [(QUEUE, timedelta(seconds=4))]
    end = START + timedelta(seconds=3)
    finished = Finished("r-0-1", 1, "succeeded", started_at=START, finished_at=end)
    later.take(Incoming("r", finished))
    assert later.durations() == [(QUEUE, timedelta(seconds=3))]
