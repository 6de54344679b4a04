"""Contract of the heartbeat: what is renewed, lost, to be cancelled, acknowledged, reaped."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from headway_coordinator.application.ports import PreconditionFailed
from tests.contract.world import GONE, MINUTE, TEAM, World


def test_running_attempts_are_renewed(world: World) -> None:
    made = world.running(lease=GONE)
    assert len(world.storage.sweeps.expired()) == 1
    result = world.beat(running=[made])
    assert (result.superseded, result.renewed, result.lost) == (False, [made.attempt], [])
    assert world.storage.sweeps.expired() == []


def test_a_renewal_takes_nothing_of_a_longer_lease_back(world: World) -> None:
    """The setting became shorter, and the worker may never read the answer that says so."""
    made = world.running(lease=MINUTE)
    result = world.beat(running=[made], lease=GONE)
    assert result.renewed == [made.attempt]
    assert world.storage.sweeps.expired() == []
    world.claim([made], lease=GONE)
    assert world.storage.sweeps.expired() == []


def test_a_late_renewal_wins_over_a_sweep_that_has_not_committed(world: World) -> None:
    made = world.running(lease=GONE)
    [found] = world.storage.sweeps.expired()
    world.beat(running=[made])
    with pytest.raises(PreconditionFailed):
        world.end(made, "lost", expired=True)
    assert found.attempt == made.attempt
    assert world.state_of(made) == "running"


def test_nothing_is_renewed_after_it_was_lost(world: World) -> None:
    made = world.running(lease=GONE)
    world.end(made, "lost", expired=True)
    result = world.beat(running=[made], finished=[made])
    assert (result.renewed, result.lost) == ([], [made.attempt])
    assert (result.acknowledged, result.resend) == ([made.attempt], [])


def test_what_another_worker_holds_is_lost_here(world: World) -> None:
    made = world.running(worker="w1")
    world.register("w2", "b2")
    result = world.beat(worker="w2", boot="b2", running=[made])
    assert (result.renewed, result.lost) == ([], [made.attempt])


def test_a_finished_attempt_is_resent_until_its_row_has_ended(world: World) -> None:
    made = world.running(lease=GONE)
    result = world.beat(finished=[made])
    assert (result.acknowledged, result.resend, result.renewed) == ([], [made.attempt], [])
    assert world.storage.sweeps.expired() == []
    world.end(made)
    result = world.beat(finished=[made])
    assert (result.acknowledged, result.resend) == ([made.attempt], [])


def test_cancelled_running_attempts_are_named_at_every_beat(world: World) -> None:
    made, other = world.running("r1"), world.running("r2")
    world.stop(made)
    for _ in range(2):
        result = world.beat(running=[made, other])
        assert (result.cancel, result.renewed) == ([made.attempt], [made.attempt, other.attempt])


def test_a_superseded_or_unknown_boot_is_told_so_and_renews_nothing(world: World) -> None:
    made = world.running(lease=GONE)
    world.register("w1", "b2")
    assert world.beat(boot="b1", running=[made]).superseded
    assert world.beat(worker="w7", running=[made]).superseded
    assert len(world.storage.sweeps.expired()) == 1


def test_a_worker_is_live_while_it_beats(world: World) -> None:
    workers = world.storage.workers
    world.register()
    [registered] = workers.live(MINUTE)
    assert (registered.slots, registered.slots_free, registered.draining) == (4, 4, False)
    assert registered.queues == ("analytics.small", "analytics.io")
    world.beat(draining=True)
    [beating] = workers.live(MINUTE)
    assert (beating.slots_free, beating.draining, beating.team) == (3, True, TEAM)
    assert beating.seen_at > registered.seen_at
    assert workers.live(timedelta()) == []
    assert len(workers.all()) == 1


# --- reaped --------------------------------------------------------------------------------------


def test_what_an_older_boot_left_is_lost_at_once(world: World) -> None:
    made = world.running(boot="b1")
    world.register("w1", "b2")
    world.beat(boot="b2", reaped=[made])
    [expired] = world.storage.sweeps.expired()
    assert (expired.attempt, expired.reaped) == (made.attempt, True)
    world.end(made, "lost", expired=True)
    assert world.state_of(made) == "lost"


def not_reaped(world: World, made: Any, **beat: Any) -> bool:
    world.beat(reaped=[made], **beat)
    return world.storage.sweeps.expired() == [] and world.state_of(made) == "running"


def test_the_same_boot_reaps_nothing(world: World) -> None:
    assert not_reaped(world, world.running(boot="b1"), boot="b1")


def test_another_worker_reaps_nothing(world: World) -> None:
    made = world.running(worker="w1", boot="b1")
    world.register("w2", "b1")
    world.register("w2", "b2")
    assert not_reaped(world, made, worker="w2", boot="b2")


def test_a_superseded_boot_reaps_nothing_of_a_newer_one(world: World) -> None:
    world.register("w1", "b1")
    made = world.running(boot="b2")
    assert not_reaped(world, made, boot="b1")


@pytest.mark.parametrize(("attempt", "reaped"), [("r1-0-1", False), ("r1-0-11", True)])
def test_an_attempt_whose_completion_has_come_is_not_reaped(
    world: World, attempt: str, reaped: bool
) -> None:
    made = world.running(boot="b1")
    world.storage.inbox.add(
        run="r1", kind="completion", dedupe=f"completion:{attempt}:1:1", actor="w1", body={}
    )
    world.register("w1", "b2")
    assert not_reaped(world, made, boot="b2") is not reaped
