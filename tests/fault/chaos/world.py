"""One installation to break: its servers, its processes, its load, and what they left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import httpx2

from headway_coordinator.embedded import HEADWAY
from headway_coordinator.raising import make_token
from headway_coordinator.storage.migrating import upgrade
from headway_coordinator.storage.opening import open_storage
from tests.fault.chaos.brokers import HOLDERS, Broker
from tests.fault.chaos.load import FORGED, Load, Vandal
from tests.fault.chaos.observing import LeaseWatch, Observer
from tests.fault.chaos.pipelines import CLASSES, definitions
from tests.fault.chaos.services import Service, Services, logs_of
from tests.fault.checker import History, Violation, check, read
from tests.servers import postgres
from tests.servers.processes import Processes
from tests.servers.proxy import FaultProxy
from tests.servers.sources import free_port
from tests.servers.waiting import NeverHappenedError, wait_until

Answer = TypeVar("Answer")

CODE = Path(__file__).with_name("code")
COORDINATORS = tuple(holder.removeprefix("engine-") for holder in HOLDERS)
_SECRET_KEY = "a key that only chaos uses, and a canary"
_READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Servers:
    """What all installations of a chaos run share."""

    database: postgres.Restartable
    broker: Broker


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds; the defaults are the product's own."""

    term: float = 9
    lease: float = 60
    heartbeat: float = 3
    claim_deadline: float = 10


BRISK = Timing(term=3, lease=15, heartbeat=1, claim_deadline=3)


@dataclass(frozen=True, slots=True)
class Crew:
    """A worker to be started: `proxied` puts a breakable line before its API and its broker."""

    name: str
    team: str
    classes: tuple[str, ...] = CLASSES
    slots: int = 4
    proxied: bool = False


CREW = (
    Crew("red-1", "red"),
    Crew("red-2", "red", ("default",)),
    Crew("blue-1", "blue"),
)


@dataclass
class World:
    """A running installation. Times of faults are the machine's own, as are the database's."""

    folder: Path
    servers: Servers
    timing: Timing
    crew: Sequence[Crew]
    processes: Processes
    services: Services
    observer: Observer
    load: Load
    database_url: str
    worker_tokens: dict[str, str]
    proxies: dict[str, dict[str, FaultProxy]]
    notes: list[str] = field(default_factory=list)

    # --- time -----------------------------------------------------------------------------------

    def now(self) -> datetime:
        return datetime.now(UTC)

    def since(self, moment: datetime) -> float:
        return (self.now() - moment).total_seconds()

    def hold(self, seconds: float) -> None:
        """Let a fault last."""
        end = time.monotonic() + seconds
        wait_until(lambda: time.monotonic() >= end, within=seconds + 60, what="the fault's end")

    def wait(self, condition: Callable[[], Answer], what: str, *, within: float = 90.0) -> Answer:
        """Return the first true answer; the deadline is far beyond every gate."""
        return wait_until(condition, within=within, what=what)

    # --- who is there ---------------------------------------------------------------------------

    def leader(self) -> str:
        """Return the leading engine's service."""
        holder = self.wait(self.observer.leader, "a leader")
        assert holder is not None
        return holder

    def worker_service(self, worker: str) -> str | None:
        """Return which service a worker's name belongs to."""
        for crew in self.crew:
            for state in (self.folder / crew.name).glob("worker-*/worker"):
                if state.read_text().strip() == worker:
                    return crew.name
        return None

    def log(self, name: str) -> str:
        return logs_of(self.processes, name)

    def busy(self, *, running: int = 4, dispatched: int = 0) -> None:
        """Wait until so much is under way."""
        self.wait(
            lambda: (
                len(self.observer.running()) >= running
                and len(self.observer.unclaimed()) >= dispatched
            ),
            f"{running} running and {dispatched} dispatched attempts",
        )

    # --- the end --------------------------------------------------------------------------------

    def settle(self) -> None:
        """Stop the load and wait until all runs have ended; what has not by then is stuck."""
        self.load.end()
        self.services_up()
        patience = 3 * self.timing.lease + 60
        try:
            wait_until(
                lambda: self.observer.some(_ALL_ENDED) == [(True,)],
                within=patience,
                what="the end of all runs",
            )
            # The workers hear of the last ends with a heartbeat, and empty their spools.
            self.hold(self.timing.heartbeat + 1)
        except NeverHappenedError as error:
            self.notes.append(str(error))

    def services_up(self) -> None:
        for name in self.services.names():
            self.services.let_up(name)
            self.services.signal(name, signal.SIGCONT)
        self.servers.database.start()
        self.servers.broker.start()
        for lines in self.proxies.values():
            for proxy in lines.values():
                proxy.restore()

    def history(self) -> History:
        """Return all that is known, for the checker."""
        history = read(
            self.database_url,
            states=[self.folder / crew.name for crew in self.crew],
            effects=self.folder / "effects",
            accepted=self.folder / "accepted",
            seen=self.folder / "seen",
            logs=sorted(self.processes.logs.glob("*.log")),
        )
        history.canaries = [_SECRET_KEY, *self.worker_tokens.values()]
        history.forged = FORGED
        history.worker_lease_s = self.timing.lease
        return history

    def check(self) -> tuple[History, list[Violation]]:
        history = self.history()
        return history, check(history)


_ALL_ENDED = (
    "SELECT NOT EXISTS (SELECT 1 FROM run WHERE finished_at IS NULL)"
    " AND NOT EXISTS (SELECT 1 FROM inbox WHERE applied_at IS NULL)"
)


@contextmanager
def world(
    servers: Servers,
    folder: Path,
    *,
    timing: Timing,
    crew: Sequence[Crew] = CREW,
    crowd: tuple[float, int] = (5.0, 13),
) -> Iterator[World]:
    """Give a running installation with its definitions applied; everything ends with the block."""
    folder.mkdir(parents=True)
    servers.database.start()
    servers.broker.start()
    servers.broker.wipe()
    url = postgres.create_database(servers.database.url)
    with ExitStack() as stack:
        stack.callback(postgres.drop_database, servers.database.url, url)
        stack.callback(servers.database.start)
        upgrade(url)
        tokens = _tokens(url, crew)
        ports = {name: free_port() for name in COORDINATORS}
        proxies = {c.name: _proxies(ports, servers.broker.url, stack) for c in crew if c.proxied}
        processes = Processes(folder / "logs")
        stack.callback(processes.close)
        services = Services(processes)
        stack.callback(services.close)
        observer = Observer(url)
        stack.callback(observer.close)
        watch = LeaseWatch(url, folder / "seen")
        stack.callback(watch.close)
        apis = [f"http://127.0.0.1:{port}" for port in ports.values()]
        load = Load(apis, tokens["load"], folder / "accepted", url)
        stack.callback(load.close)
        made = World(
            folder, servers, timing, crew, processes, services, observer, load, url,
            {name: token for name, token in tokens.items() if name != "load"}, proxies,
        )  # fmt: skip
        _start_coordinators(made, ports)
        load.apply(definitions(*crowd))
        for each in crew:
            _start_worker(made, each, apis)
        _await_workers(made)
        vandal = Vandal(servers.broker.url, url)
        stack.callback(vandal.close)
        yield made


def _tokens(url: str, crew: Sequence[Crew]) -> dict[str, str]:
    storage = open_storage(url, application_name="chaos")
    try:
        tokens = {"load": make_token(storage, subject="load", role="admin", team=None)}
        for each in crew:
            token = make_token(storage, subject=each.name, role="worker", team=each.team)
            tokens[each.name] = token
    finally:
        storage.close()
    return tokens


def _proxies(ports: Mapping[str, int], broker: str, stack: ExitStack) -> dict[str, FaultProxy]:
    parts = urlsplit(broker)
    targets = {**ports, "broker": parts.port or 0}
    made = {name: FaultProxy("127.0.0.1", port) for name, port in targets.items()}
    for proxy in made.values():
        stack.callback(proxy.close)
    return made


def _environment(world: World, **more: str) -> dict[str, str]:
    plain = {k: v for k, v in os.environ.items() if not k.startswith("HEADWAY_")}
    timing = world.timing
    return {
        **plain,
        "HEADWAY_DATABASE_URL": world.database_url,
        "HEADWAY_BROKER_URL": world.servers.broker.url,
        "HEADWAY_STORE_URL": f"file://{world.folder / 'store'}",
        "HEADWAY_SECRET_KEY": _SECRET_KEY,
        "HEADWAY_LEASE_TERM": str(timing.term),
        "HEADWAY_WORKER_LEASE": str(timing.lease),
        "HEADWAY_HEARTBEAT": str(timing.heartbeat),
        "HEADWAY_CLAIM_DEADLINE": str(timing.claim_deadline),
        "HEADWAY_SUPERVISED": "1",
        **more,
    }


def _start_coordinators(world: World, ports: Mapping[str, int]) -> None:
    for name, port in ports.items():
        for part in ("engine", "api"):
            service = f"{part}-{name}"
            env = _environment(
                world, HEADWAY_LISTEN=f"127.0.0.1:{port}", HEADWAY_HOLDER=f"engine-{name}"
            )
            argv = [*HEADWAY, "coordinator", "--only", part]
            world.services.add(Service(service, argv, env))
    world.wait(
        lambda: all(_is_ready(port) for port in ports.values()),
        "ready APIs",
        within=_READY_SECONDS,
    )
    world.leader()


def _start_worker(world: World, crew: Crew, apis: Sequence[str]) -> None:
    lines = world.proxies.get(crew.name)
    broker = world.servers.broker.url
    if lines is not None:
        apis = [f"http://{lines[name].address}" for name in COORDINATORS]
        parts = urlsplit(broker)
        user = parts.netloc.rpartition("@")[0]
        at = f"{user}@" if user else ""
        broker = parts._replace(netloc=f"{at}{lines['broker'].address}").geturl()
    argv = [*HEADWAY, "worker", "--team", crew.team, "--slots", str(crew.slots)]
    argv += ["--code", str(CODE)]
    argv += [part for name in crew.classes for part in ("--class", name)]
    env = _environment(
        world,
        HEADWAY_API_URL=",".join(apis),
        HEADWAY_BROKER_URL=broker,
        HEADWAY_TOKEN=world.worker_tokens[crew.name],
        HEADWAY_STATE_DIR=str(world.folder / crew.name),
        HEADWAY_PASS_ENV="EFFECTS",
        EFFECTS=str(world.folder / "effects"),
    )
    for secret in ("HEADWAY_DATABASE_URL", "HEADWAY_SECRET_KEY"):
        del env[secret]
    world.services.add(Service(crew.name, argv, env))


def _await_workers(world: World) -> None:
    world.wait(
        lambda: len(world.observer.some("SELECT 1 FROM worker")) == len(world.crew),
        "all workers",
        within=_READY_SECONDS,
    )


def _is_ready(port: int) -> bool:
    try:
        answer = httpx2.get(f"http://127.0.0.1:{port}/readyz", trust_env=False)
    except httpx2.HTTPError:
        return False
    return answer.status_code == httpx2.codes.OK
