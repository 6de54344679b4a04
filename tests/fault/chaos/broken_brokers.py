"""A broker that loses its data, or is away."""

from __future__ import annotations

from collections.abc import Callable

from tests.fault.chaos.pipelines import TEAMS
from tests.fault.chaos.report import Measure
from tests.fault.chaos.scenarios import Broken, Scale
from tests.fault.chaos.tracing import add_records
from tests.fault.chaos.world import World
from tests.fault.checker import History


def flush(world: World, scale: Scale) -> Broken:
    measure = Measure("deleted → all dispatched again", 5.0)
    times = scale.of(1, 3, 12)
    for _ in range(times):
        _lose(world, measure, world.servers.broker.wipe)
    return Broken(times, [measure])


def restart(world: World, scale: Scale) -> Broken:
    """The time counts from when the broker answers again."""
    measure = Measure("back → all dispatched again", 5.0)

    def kill_and_start() -> None:
        world.servers.broker.kill()
        world.servers.broker.start()

    times = scale.of(1, 3, 10)
    for _ in range(times):
        _lose(world, measure, kill_and_start)
    return Broken(times, [measure])


def away(world: World, scale: Scale) -> Broken:
    """The time counts from when the broker answers again: a RabbitMQ boots for 5 to 15 s."""
    recorded = Measure("finished → recorded by HTTP", 5.0)
    back = Measure("back → next step starts", 10.0)
    crowd(world)
    world.busy(running=8)
    left = world.now()
    world.servers.broker.kill()
    world.hold(scale.of(6, 30, 120))
    returned = world.now()
    world.servers.broker.start()
    answered = world.now()
    world.wait(lambda: world.observer.some(_CLAIMED_SINCE, returned), "the next claim")

    def afterwards(history: History) -> None:
        add_records(history, recorded, left, returned)
        starts = [e.start + (history.wall_minus_monotonic or 0) for e in history.executions]
        # A step may start between the broker's first answer and the moment when we noticed it.
        first = min(s for s in starts if s > returned.timestamp())
        back.add(max(0.0, first - answered.timestamp()))

    return Broken(1, [recorded, back], afterwards=afterwards)


_CLAIMED_SINCE = "SELECT 1 FROM attempt WHERE claimed_at > %s LIMIT 1"


def crowd(world: World, runs: int = 2) -> None:
    """Ask for more than there are slots, of steps that end one after the other."""
    for team in TEAMS:
        for _ in range(runs):
            world.load.ask(team, "spread")


def _lose(world: World, measure: Measure, strike: Callable[[], None]) -> None:
    crowd(world, 1)
    world.busy(running=8, dispatched=3)
    strike()
    struck = world.now()
    known = world.observer.unclaimed()
    world.wait(lambda: not world.observer.still_unclaimed(known), "every dispatch, again")
    measure.add(world.since(struck))
