"""Runs whose rows do not fit together are found, also when nobody reports anything."""

from __future__ import annotations

from tests.contract.world import MINUTE, World


def test_a_running_step_with_a_live_attempt_is_not_stranded(world: World) -> None:
    world.running()
    assert world.storage.sweeps.stranded() == []


def test_a_running_step_whose_attempt_has_ended_is_stranded(world: World) -> None:
    made = world.running()
    world.end(made)  # the attempt's row alone: its step was not moved
    assert world.storage.sweeps.stranded() == [made.run]


def test_a_step_whose_items_have_the_attempts_is_not_stranded(world: World) -> None:
    world.spread("a", "b")
    assert world.storage.sweeps.stranded() == []


def test_a_quarantined_run_is_nobodys_to_advance(world: World) -> None:
    made = world.running()
    world.end(made)
    with world.storage.advancing(world.lease) as transaction:
        transaction.quarantine(made.run, "its rows do not fit together")
    assert world.storage.sweeps.stranded() == []


def test_queues_are_late_whose_dispatches_nobody_claims_in_time(world: World) -> None:
    sweeps = world.storage.sweeps
    made = world.dispatched()
    assert sweeps.late(MINUTE) == []
    assert sweeps.late(-MINUTE) == [made.queue], "as if a minute had passed"
    world.dispatched("r2")
    assert sweeps.late(-MINUTE) == [made.queue], "each once"
    world.register()
    world.claim([made])
    assert sweeps.late(-MINUTE) == [made.queue]
