"""The product's processes, started again when they die, as systemd would."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.processes import Child, Processes
from tests.servers.waiting import wait_until

_LOOK_SECONDS = 0.05
_RESTART_SECONDS = 0.2
_LEAVE_ALONE = frozenset({2, 4, 75})  # RestartPreventExitStatus of the unit files


@dataclass
class Service:
    """One process that ought to run."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    child: Child | None = None
    wanted: bool = True
    due: float = 0.0
    exits: list[int] = field(default_factory=list)

    @property
    def pid(self) -> int:
        assert self.child is not None
        return self.child.pid


class Services:
    """Starts and watches services on a thread of its own; the kernel ends them with that thread."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._lock = threading.RLock()
        self._all: dict[str, Service] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="services", daemon=True)
        self._thread.start()

    def add(self, service: Service) -> None:
        """Take charge of the service; it is started at once, by the watching thread."""
        with self._lock:
            self._all[service.name] = service
        wait_until(lambda: service.child is not None, what=f"the start of {service.name}")

    def __getitem__(self, name: str) -> Service:
        return self._all[name]

    def names(self) -> list[str]:
        return list(self._all)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to the service's process alone."""
        with self._lock:
            child = self._all[name].child
            if child is not None:
                child.send(number)

    def hold_down(self, name: str) -> None:
        """Kill the service and do not start it again before `let_up`."""
        with self._lock:
            self._all[name].wanted = False
            self.signal(name, signal.SIGKILL)

    def let_up(self, name: str) -> None:
        with self._lock:
            self._all[name].wanted = True

    def surprises(self) -> list[str]:
        """Return which services ended by themselves with an error."""
        return [
            f"{service.name} ended with {status}"
            for service in self._all.values()
            for status in service.exits
            if status > 0
        ]

    def close(self, within: float = 60.0) -> None:
        """End all in order, workers first, and the watching."""
        with self._lock:
            for service in self._all.values():
                service.wanted = False
        for service in reversed(self._all.values()):
            self.signal(service.name, signal.SIGCONT)
            self.signal(service.name, signal.SIGTERM)
        running = [s.child for s in self._all.values() if s.child is not None]
        for child in running:
            child.wait(within=within)
        self._closing.set()
        self._thread.join()

    def _watch(self) -> None:
        now = 0.0
        while not self._closing.wait(_LOOK_SECONDS):
            now += _LOOK_SECONDS
            with self._lock:
                for service in self._all.values():
                    self._look(service, now)

    def _look(self, service: Service, now: float) -> None:
        child = service.child
        if child is not None and not child.running:
            assert child.exit_status is not None
            service.exits.append(child.exit_status)
            service.child = None
            service.due = now + _RESTART_SECONDS
            service.wanted = service.wanted and child.exit_status not in _LEAVE_ALONE
        if service.child is None and service.wanted and now >= service.due:
            service.child = self._processes.start(service.argv, name=service.name, env=service.env)


def logs_of(processes: Processes, name: str) -> str:
    """Return everything that a service's processes logged, in the order of their starts."""
    found = sorted(processes.logs.glob(f"*-{name}.log"), key=_number)
    return "".join(path.read_text(errors="replace") for path in found)


def _number(path: Path) -> int:
    return int(path.name.partition("-")[0])
