"""Contract of the claim: who may execute an attempt."""

from __future__ import annotations

import pytest

from headway.errors import ConflictError, ForbiddenError
from headway.protocol.messages import LostReason
from tests.contract.world import GONE, TEAM, World, work


def test_a_claim_wins_the_resolved_step(world: World) -> None:
    made = world.dispatched()
    world.register()
    [result] = world.claim([made]) or []
    assert result.reason is None
    assert result.work is not None
    assert result.work.model_dump(exclude_unset=True) == work("r1", "extract", 1)
    assert world.state_of(made) == "running"


def test_a_repeated_claim_wins_again_and_its_lease_begins_anew(world: World) -> None:
    made = world.running(lease=GONE)
    assert len(world.storage.sweeps.expired()) == 1
    assert world.lost(made) is None
    assert world.storage.sweeps.expired() == []


def test_a_claim_that_is_repeated_after_the_end_renews_nothing(world: World) -> None:
    made = world.running(lease=GONE)
    world.end(made, "lost", expired=True)
    assert world.lost(made) is LostReason.TERMINAL
    assert world.state_of(made) == "lost"


def test_the_same_attempt_twice_in_a_batch_wins_twice(world: World) -> None:
    made = world.dispatched()
    world.register()
    results = world.claim([made, made]) or []
    assert [r.reason for r in results] == [None, None]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"fence": 2}, LostReason.SUPERSEDED),
        ({"queue": "analytics.io"}, LostReason.UNKNOWN),
        ({"attempt": "r1-0-9"}, LostReason.UNKNOWN),
    ],
)
def test_a_claim_that_does_not_match_is_refused(
    world: World, changed: dict[str, object], reason: LostReason
) -> None:
    made = world.dispatched()
    world.register()
    assert world.lost(made, **changed) is reason
    assert world.state_of(made) == "dispatched"


def test_another_worker_or_another_boot_does_not_get_a_running_attempt(world: World) -> None:
    made = world.running()
    world.register("w2", "b7")
    assert world.lost(made, worker="w2", boot="b7") is LostReason.RUNNING
    world.register("w1", "b2")
    assert world.lost(made, worker="w1", boot="b2") is LostReason.RUNNING


def test_another_team_is_told_nothing(world: World) -> None:
    made = world.dispatched()
    world.register("w9", "b9", team="growth")
    assert world.lost(made, worker="w9", boot="b9", team="growth") is LostReason.UNKNOWN
    assert world.claim([made], worker="w9", boot="b9", team=TEAM) is None
    assert world.state_of(made) == "dispatched"


def test_a_superseded_boot_claims_nothing(world: World) -> None:
    made = world.dispatched()
    world.register("w1", "b1")
    world.register("w1", "b2")
    assert world.claim([made], boot="b1") is None
    assert world.state_of(made) == "dispatched"
    assert world.lost(made, boot="b2") is None


def test_an_unregistered_worker_claims_nothing(world: World) -> None:
    made = world.dispatched()
    assert world.claim([made]) is None


def test_a_cancelled_or_ended_attempt_is_refused(world: World) -> None:
    withdrawn, done = world.dispatched("r1"), world.running("r2")
    assert world.stop(withdrawn) == 1
    world.end(done)
    results = world.claim([withdrawn, done]) or []
    assert [r.reason for r in results] == [LostReason.CANCELLED, LostReason.TERMINAL]


def test_winners_and_losers_share_a_batch_in_its_order(world: World) -> None:
    first, second, third = (world.dispatched(f"r{n}") for n in (1, 2, 3))
    world.register("w2", "b2")
    assert world.lost(second, worker="w2", boot="b2") is None
    world.register()
    results = world.claim([third, second, first]) or []
    assert [(r.attempt, r.reason) for r in results] == [
        (third.attempt, None),
        (second.attempt, LostReason.RUNNING),
        (first.attempt, None),
    ]


def test_a_boot_that_was_superseded_does_not_come_back(world: World) -> None:
    world.register("w1", "b1")
    world.register("w1", "b2")
    with pytest.raises(ConflictError) as refused:
        world.register("w1", "b1")
    assert refused.value.code == "superseded"
    world.register("w1", "b2")
    assert [w.boot for w in world.storage.workers.all()] == ["b2"]


def test_a_worker_id_belongs_to_one_team(world: World) -> None:
    world.register("w1", "b1")
    with pytest.raises(ForbiddenError):
        world.register("w1", "b2", team="growth")
    assert [(w.team, w.boot) for w in world.storage.workers.all()] == [(TEAM, "b1")]
