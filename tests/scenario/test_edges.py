"""What a transcript cannot say: errors that only code can make, and moments between two ticks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from headway_coordinator.application import batch as batches
from headway_coordinator.engine.advance import advance
from headway_coordinator.engine.events import Due
from headway_coordinator.engine.states import StepStatus
from tests.scenario.world import World

RETRIED = """
pipeline: flaky
steps:
  a: {run: "true", retry: {max: 1, delay: 5s, jitter: false}}
"""


def waiting_for_retry(world: World, *runs: str) -> None:
    """Bring the runs to a retry wait that ends in five seconds."""
    world.define(RETRIED)
    world.start("A", timedelta())
    world.add_worker("w1", 8, ["default"])
    for run in runs:
        world.request_run(run, "flaky", {}, "ann")
    world.work()
    world.take(world.workers["w1"], 8)
    for run in runs:
        sealed = world.workers["w1"].complete(
            f"{run}-0-1", {"outcome": "failed"}, world.clock.now()
        )
        world.broker.events.append(sealed)
    world.work()


def test_an_error_of_one_run_does_not_lose_the_timers_of_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting_for_retry(world, "r1", "r2", "r3")

    def fails_for_one(state: Any, event: Any, now: Any) -> Any:
        if state.run.id == "r1" and isinstance(event, Due):
            raise KeyError("what nobody thought of")
        return advance(state, event, now)

    monkeypatch.setattr(batches, "advance", fails_for_one)
    world.wait(timedelta(seconds=7))
    advancer = world.coordinators["A"].advancer
    assert advancer.state_of("r1") is None
    for run in ("r2", "r3"):
        state = advancer.state_of(run)
        assert state is not None
        assert state.steps["a"].status is StepStatus.RUNNING
    assert world.rows("SELECT id FROM run WHERE quarantine IS NOT NULL") == [{"id": "r1"}]


def test_a_hold_is_not_trusted_for_as_long_as_it_was_granted(world: World) -> None:
    world.start("A", timedelta())
    world.work()
    leadership = world.coordinators["A"].leadership
    granted = world.storage.leases.current("advance/0")
    assert granted is not None
    world.clock.advance(timedelta(seconds=6.9))
    assert leadership.hold() == granted
    world.clock.advance(timedelta(seconds=0.1))
    assert leadership.hold() is None
    assert world.clock.now() < granted.expires_at


def test_whoever_waits_to_lead_takes_no_lease_that_is_held(world: World) -> None:
    for name in ("A", "B"):
        world.start(name, timedelta())
    for _ in range(30):
        world.wait(timedelta(seconds=1))
        holds = [c for c in world.coordinators.values() if c.leadership.hold() is not None]
        assert [c.name for c in holds] == ["A"]
