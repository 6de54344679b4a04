"""Every scenario by its name: how to break the installation, on which ground, for how long."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from tests.fault.chaos.report import Measure
from tests.fault.chaos.world import BRISK, CREW, Crew, Timing, World
from tests.fault.checker import History

Value = TypeVar("Value")


class Scale(Enum):
    """How much time there is: for a test, for a look, for the full figures."""

    SHORT = 0
    NORMAL = 1
    LONG = 2

    def of(self, short: Value, normal: Value, long: Value) -> Value:
        return (short, normal, long)[self.value]


@dataclass
class Broken:
    """What a scenario did. `afterwards` is called with the history, to measure what it tells."""

    count: int
    measures: Sequence[Measure]
    problems: list[str] = field(default_factory=list)
    afterwards: Callable[[History], None] = lambda history: None


@dataclass(frozen=True, slots=True)
class Scenario:
    """`strike` breaks a world; the rest says what world that takes."""

    strike: Callable[[World, Scale], Broken]
    fault: str
    crew: Sequence[Crew] = CREW
    open_runs: int = 10
    # The steps of the long pipeline: seconds between two lines, and how many lines.
    crowd: tuple[float, int] = (5.0, 13)
    brisk: bool = False  # short leases unless LONG: the fault is to outlast one

    def timing(self, scale: Scale) -> Timing:
        if scale is Scale.SHORT or (self.brisk and scale is not Scale.LONG):
            return BRISK
        return Timing()


_PROXIED = (Crew("red-1", "red", proxied=True), *CREW[1:])


def scenarios() -> Mapping[str, Scenario]:
    """Return every scenario by the name that SCENARIOS takes."""
    from tests.fault.chaos import broken_brokers, broken_coordinators, broken_databases
    from tests.fault.chaos import broken_workers as workers

    crowded = (Crew("red-1", "red", slots=50), Crew("blue-1", "blue", slots=50))
    leaders, brokers, databases = broken_coordinators, broken_brokers, broken_databases
    return {
        "kill-any": Scenario(workers.kill_any, "kill -9 of any process"),
        "kill-leader": Scenario(leaders.kill, "kill -9 of the leader"),
        "stop-leader": Scenario(leaders.stop, "SIGSTOP of the leader"),
        "stop-leader-writing": Scenario(leaders.stop_writing, "SIGSTOP in a transaction"),
        "handover": Scenario(leaders.hand_over, "planned handover"),
        "kill-worker": Scenario(workers.kill, "kill -9 of a worker"),
        "flush-broker": Scenario(brokers.flush, "broker's data deleted"),
        "restart-broker": Scenario(brokers.restart, "broker restarted empty"),
        "broker-away": Scenario(brokers.away, "broker away"),
        "restart-database": Scenario(databases.restart, "database killed, restarted"),
        "database-away": Scenario(databases.away, "database away, 100 steps", crowded, open_runs=0),
        "cut-api": Scenario(
            workers.cut_api, "worker cut from the API", _PROXIED, crowd=(1.0, 45), brisk=True
        ),
        "cut-broker": Scenario(workers.cut_broker, "worker cut from the broker", _PROXIED),
        "full-disk": Scenario(workers.fill_disk, "spool's disk full"),
    }


def tour() -> Scenario:
    """Return one scenario that breaks one thing after the other in the same installation."""
    from tests.fault.chaos import broken_brokers, broken_coordinators, broken_databases
    from tests.fault.chaos import broken_workers as workers

    stops = (
        broken_coordinators.kill,
        workers.kill,
        broken_brokers.flush,
        workers.cut_broker,
        broken_databases.restart,
        workers.fill_disk,
    )

    def strike(world: World, scale: Scale) -> Broken:
        all_broken = [stop(world, scale) for stop in stops]
        whole = Broken(
            sum(broken.count for broken in all_broken),
            [measure for broken in all_broken for measure in broken.measures],
        )

        def afterwards(history: History) -> None:
            for broken in all_broken:
                broken.afterwards(history)
                whole.problems += broken.problems

        whole.afterwards = afterwards
        return whole

    return Scenario(strike, "one thing after the other", _PROXIED)
