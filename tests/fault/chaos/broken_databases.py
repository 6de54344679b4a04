"""A database that is killed, at once there again or away for a while."""

from __future__ import annotations

from datetime import datetime

from tests.fault.chaos.pipelines import CROWD_STEPS, TEAMS
from tests.fault.chaos.report import Measure
from tests.fault.chaos.scenarios import Broken, Scale
from tests.fault.chaos.world import World
from tests.fault.checker import History

_CROWD = 100
_CALM_SECONDS = 2.0  # of work between two strikes


def restart(world: World, scale: Scale) -> Broken:
    """The time counts from when the database answers again."""
    measure = Measure("back → next dispatch", 10.0)
    times = scale.of(1, 4, 10)
    for _ in range(times):
        world.hold(_CALM_SECONDS)
        world.busy()
        world.servers.database.kill()
        world.servers.database.start()
        back = world.now()
        _add_dispatch(world, measure, back)
    return Broken(times, [measure])


def away(world: World, scale: Scale) -> Broken:
    """Let a hundred steps run, take the database away for 40 s: none is killed or doubled."""
    measure = Measure("back → next dispatch", 10.0)
    for number in range(_CROWD // CROWD_STEPS):
        world.load.ask(TEAMS[number % 2], "crowd")
    world.busy(running=_CROWD)
    known = [id for id, _ in world.observer.running()]
    world.servers.database.kill()
    world.hold(scale.of(8, 40, 40))
    world.servers.database.start()
    back = world.now()
    # Something new to dispatch, as the hundred need no more of it for a while.
    world.load.ask(TEAMS[0], "chain")
    _add_dispatch(world, measure, back)
    broken = Broken(1, [measure])

    def afterwards(history: History) -> None:
        for id in known:
            row = history.attempt_by_id[id]
            if row["state"] != "succeeded":
                broken.problems.append(f"{id} is {row['state']} ({row['reason']})")

    broken.afterwards = afterwards
    return broken


def _add_dispatch(world: World, measure: Measure, back: datetime) -> None:
    first = world.wait(lambda: world.observer.first_dispatch_since(back), "the next dispatch")
    assert first is not None
    measure.add((first - back).total_seconds())
