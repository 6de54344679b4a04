"""Leaders that are killed, paused, or asked to go."""

from __future__ import annotations

import signal
from collections.abc import Callable

import psycopg

from tests.fault.chaos.report import Measure
from tests.fault.chaos.scenarios import Broken, Scale
from tests.fault.chaos.world import World

_IN_TRANSACTION_SECONDS = 6.0
_CALM_SECONDS = 2.0  # of work between two strikes
_WAITING = """
    SELECT 1 FROM pg_stat_activity
    WHERE application_name = %s AND wait_event_type = 'Lock' AND query ILIKE 'update attempt%%'
"""
_TRANSACTIONS = """
    SELECT 1 FROM pg_stat_activity
    WHERE application_name = %s AND state IN ('idle in transaction', 'active')
"""


def kill(world: World, scale: Scale) -> Broken:
    measure = Measure("leader → next dispatch", world.timing.term + 1)
    times = scale.of(1, 4, 12)
    for _ in range(times):
        _depose(world, measure, lambda leader: world.services.signal(leader, signal.SIGKILL))
    return Broken(times, [measure])


def hand_over(world: World, scale: Scale) -> Broken:
    measure = Measure("leader → next dispatch", 1.0)
    times = scale.of(1, 5, 15)
    for _ in range(times):
        _depose(world, measure, lambda leader: world.services.signal(leader, signal.SIGTERM))
    return Broken(times, [measure])


def stop(world: World, scale: Scale) -> Broken:
    """Stop a leader outside any transaction until another one leads; then let it go on."""
    measure = Measure("leader → next dispatch", world.timing.term + 1)
    refused = Measure("awake → steps down")
    times = scale.of(1, 3, 8)
    for _ in range(times):
        leader = _depose(world, measure, lambda leader: _stop_outside(world, leader))
        _wake(world, leader, refused)
    return Broken(times, [measure, refused])


def stop_writing(world: World, scale: Scale) -> Broken:
    """Stop a leader in the middle of its advancing transaction."""
    target = world.timing.term + 1 + _IN_TRANSACTION_SECONDS
    measure = Measure("leader → next dispatch", target)
    refused = Measure("awake → steps down")
    times = scale.of(1, 3, 8)
    for _ in range(times):
        leader = _depose(world, measure, lambda leader: _stop_inside(world, leader))
        _wake(world, leader, refused)
    return Broken(times, [measure, refused])


def _depose(world: World, measure: Measure, strike: Callable[[str], None]) -> str:
    """Strike the leader once all is at work; return its name once another one has dispatched."""
    _both_up(world)
    world.hold(_CALM_SECONDS)
    world.busy()
    leader, epoch = world.leader(), world.observer.epoch()
    struck = world.now()
    strike(leader)
    if world.since(struck) > 1.0:
        struck = world.now()  # it took a while to catch it in the wanted moment
    first = world.wait(
        lambda: world.observer.first_dispatch_after(epoch), "a dispatch by the next leader"
    )
    assert first is not None
    measure.add((first - struck).total_seconds())
    return leader


def _both_up(world: World) -> None:
    """Wait until every engine that was started has come up: there is somebody to take over."""

    def up() -> bool:
        return all(
            world.log(name).count("engine_started") == len(world.services[name].exits) + 1
            for name in world.services.names()
            if name.startswith("engine-")
        )

    world.wait(up, "both engines")


def _stop_outside(world: World, leader: str) -> None:
    def stopped() -> bool:
        world.services.signal(leader, signal.SIGSTOP)
        if not world.observer.rows(_TRANSACTIONS, f"headway:{leader}"):
            return True
        world.services.signal(leader, signal.SIGCONT)
        return False

    world.wait(stopped, "a moment outside a transaction")


def _stop_inside(world: World, leader: str) -> None:
    """Hold the rows of what runs, so that the leader waits for one while it ends an attempt."""
    with psycopg.connect(world.database_url, application_name="chaos lock") as blocker:
        blocker.execute("SELECT id FROM attempt WHERE state = 'running' FOR UPDATE")
        world.wait(
            lambda: world.observer.rows(_WAITING, f"headway:{leader}"), "the leader's transaction"
        )
        world.services.signal(leader, signal.SIGSTOP)
        blocker.rollback()


def _wake(world: World, leader: str, refused: Measure) -> None:
    """Let the stopped leader go on; it has to find out that it leads no more."""
    lost = world.log(leader).count("leadership_lost")
    woken = world.now()
    world.services.signal(leader, signal.SIGCONT)
    world.wait(lambda: world.log(leader).count("leadership_lost") > lost, "its stepping down")
    refused.add(world.since(woken))
