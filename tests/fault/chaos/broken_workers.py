"""Workers, and any process, that are killed or cut off."""

from __future__ import annotations

import random
import resource
import signal
from collections.abc import Callable
from datetime import datetime, timedelta

from tests.fault.chaos.broken_brokers import crowd
from tests.fault.chaos.report import Measure
from tests.fault.chaos.scenarios import Broken, Scale
from tests.fault.chaos.tracing import (
    add_first_claim,
    add_records,
    add_repeats,
    add_takeovers,
    claims_of,
)
from tests.fault.chaos.world import World
from tests.fault.checker import History
from tests.servers.proxy import FaultProxy

_REPEAT_SECONDS = 10.0
_BACK_SECONDS = 10.0


def kill_any(world: World, scale: Scale) -> Broken:
    """Kill one process after the other; the choice is random, its seed is told."""
    leaders: list[tuple[int, datetime]] = []
    workers: list[tuple[str, datetime]] = []
    takeover = Measure("leader → next dispatch", world.timing.term + 1)
    repeat = Measure("worker → its step runs again", _REPEAT_SECONDS)
    seed = random.SystemRandom().randrange(1000)
    world.notes.append(f"the seed was {seed}")
    choice = random.Random(seed)
    names = world.services.names()
    started, count = world.now(), 0
    while world.since(started) < scale.of(15, 120, 300):
        name = choice.choice(names)
        if count == 0:  # a worker and the leader at least once, whatever comes
            name = world.crew[0].name
            world.wait(lambda: _load_of(world, world.crew[0].name) >= 2, "work for a worker")
        elif count == 2:
            name = world.leader()
        moment = world.now()
        if name == world.observer.leader():
            leaders.append((world.observer.epoch(), moment))
        if name in [crew.name for crew in world.crew]:
            workers.append((str(world.folder / name), moment))
        world.services.signal(name, signal.SIGKILL)
        count += 1
        world.hold(choice.uniform(1.0, 4.0))

    def afterwards(history: History) -> None:
        add_takeovers(history, takeover, leaders)
        add_repeats(history, repeat, workers)

    return Broken(count, [takeover, repeat], afterwards=afterwards)


def kill(world: World, scale: Scale) -> Broken:
    """The queues are short: behind a long one, a step that was lost waits for its turn again."""
    measure = Measure("worker → its step runs again", _REPEAT_SECONDS)
    killed: list[tuple[str, datetime]] = []
    times = scale.of(1, 6, 20)
    for number in range(times):
        name = world.crew[number % len(world.crew)].name
        world.wait(lambda name=name: _load_of(world, name) >= 2, f"work for {name}")  # type: ignore[misc]
        held = [
            id for id, worker in world.observer.running() if world.worker_service(worker) == name
        ]
        killed.append((str(world.folder / name), world.now()))
        world.services.signal(name, signal.SIGKILL)
        world.wait(lambda held=held: not world.observer.some(_NOT_AGAIN, held), "its steps, again")  # type: ignore[misc]
    return Broken(times, [measure], afterwards=lambda h: add_repeats(h, measure, killed))


def cut_api(world: World, scale: Scale) -> Broken:
    """Cut a worker from the API for longer than a lease; the broker still sends it steps."""
    lease = world.timing.lease
    repeat = Measure("cut → its steps run elsewhere", lease + 20)
    back = Measure("restored → claims again", _BACK_SECONDS)
    cuts: list[datetime] = []
    restored: list[datetime] = []
    lines = [line for name, line in world.proxies["red-1"].items() if name != "broker"]
    modes: list[Callable[[FaultProxy], None]] = [FaultProxy.blackhole, FaultProxy.cut]
    times = scale.of(1, 2, 4)
    for number in range(times):
        world.load.ask("red", "crowd")
        world.wait(lambda: _load_of(world, "red-1") >= 2, "work for red-1")
        cuts.append(world.now())
        for line in lines:
            modes[number % 2](line)
        world.hold(lease + 10)
        restored.append(world.now())
        for line in lines:
            line.restore()
        world.wait(lambda: _claimed_since(world, "red-1", restored[-1]), "a claim by red-1")
    folder = str(world.folder / "red-1")

    def afterwards(history: History) -> None:
        add_repeats(history, repeat, [(folder, at) for at in cuts])
        add_first_claim(history, back, folder, restored)

    return Broken(times, [repeat, back], afterwards=afterwards)


def cut_broker(world: World, scale: Scale) -> Broken:
    """Cut a worker from the broker: what it runs is reported by HTTP, and it comes back."""
    recorded = Measure("finished → recorded by HTTP", 5.0)
    back = Measure("restored → claims again", _BACK_SECONDS)
    spans: list[tuple[datetime, datetime]] = []
    line = world.proxies["red-1"]["broker"]
    modes: list[Callable[[FaultProxy], None]] = [FaultProxy.cut, FaultProxy.blackhole]
    times = scale.of(1, 2, 10)
    for number in range(times):
        crowd(world, 1)
        world.wait(lambda: _load_of(world, "red-1") >= 3, "work for red-1")
        cut = world.now()
        modes[number % 2](line)
        world.hold(scale.of(9, 10, 20))
        spans.append((cut, world.now()))
        line.restore()
        world.wait(lambda: _claimed_since(world, "red-1", spans[-1][1]), "a claim by red-1")
    folder = str(world.folder / "red-1")

    def afterwards(history: History) -> None:
        for cut, until in spans:
            add_records(history, recorded, cut, until, folder)
        add_first_claim(history, back, folder, [until for _, until in spans])

    return Broken(times, [recorded, back], afterwards=afterwards)


def fill_disk(world: World, scale: Scale) -> Broken:
    """Let the system refuse every write of a worker's process to a file, as a full disk would.

    That goes for its log, too. What its steps write is theirs and is not refused.
    """
    recorded = Measure("finished → recorded", 5.0)
    back = Measure("room again → claims again", _BACK_SECONDS)
    spans: list[tuple[datetime, datetime]] = []
    times = scale.of(1, 2, 5)
    for _ in range(times):
        crowd(world, 1)
        world.wait(lambda: _load_of(world, "red-1") >= 3, "work for red-1")
        pid = world.services["red-1"].pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        full = world.now()
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
        world.hold(scale.of(8, 12, 30))
        spans.append((full, world.now()))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        world.wait(lambda: _claimed_since(world, "red-1", spans[-1][1]), "a claim by red-1")
    folder = str(world.folder / "red-1")
    broken = Broken(times, [recorded, back])

    def afterwards(history: History) -> None:
        for full, until in spans:
            add_records(history, recorded, full, until, folder)
            # By then an end was refused by the disk, and the worker knows.
            late = until - timedelta(seconds=2)
            claims = [at for at in claims_of(history, folder) if late < at < until]
            if claims:
                broken.problems.append(f"{len(claims)} claims while the disk was full")
        add_first_claim(history, back, folder, [until for _, until in spans])

    broken.afterwards = afterwards
    return broken


# A step whose run the load cancels meanwhile is not run again.
_NOT_AGAIN = """
    SELECT a.id FROM attempt a JOIN run r ON r.id = a.run_id
    LEFT JOIN attempt again ON (again.run_id, again.step, again.no) = (a.run_id, a.step, a.no + 1)
    WHERE a.id = ANY(%s) AND (
        a.state = 'running'
        OR (
            a.state = 'lost' AND again.claimed_at IS NULL
            AND r.finished_at IS NULL AND r.state <> 'cancelling'
        )
    )
"""


def _load_of(world: World, name: str) -> int:
    """Return how many attempts a service's worker runs."""
    workers = [worker for _, worker in world.observer.running()]
    return sum(world.worker_service(worker) == name for worker in workers)


def _claimed_since(world: World, name: str, moment: datetime) -> bool:
    found = world.observer.some("SELECT DISTINCT worker FROM attempt WHERE claimed_at > %s", moment)
    return any(world.worker_service(worker) == name for (worker,) in found)
