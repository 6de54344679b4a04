"""A real worker process on a real broker, with a stand-in of the coordinator's API, for tests."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
from kombu import Connection, Consumer, Queue

from headway.broker_options import declaration, transport_options
from headway.protocol.messages import CompletionBatch, parse
from headway.protocol.queues import EVENTS
from tests.integration.brokers import Broker
from tests.servers.processes import Child, Processes
from tests.servers.waiting import wait_until
from tests.unit.worker.double import TOKEN, Double

QUEUE = "analytics.small"


class Events:
    """Takes completions from the event queue, as the leader would."""

    def __init__(self, url: str, double: Double) -> None:
        self._double = double
        self._connection = Connection(url, transport_options=transport_options(url))
        self._ending = False
        self.seen: list[str] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._ending = True
        self._thread.join()

    def _run(self) -> None:
        queue = Queue(**declaration(EVENTS))
        with self._connection, Consumer(self._connection, [queue], on_message=self._take):
            while not self._ending:
                try:
                    self._connection.drain_events(timeout=0.1)
                except OSError:
                    continue

    def _take(self, message: Any) -> None:
        batch = parse(CompletionBatch, message.body)
        self.seen += [self._double.take(sealed) for sealed in batch.completions]
        message.ack()


class Site:
    """A broker, the stand-in, and workers on them."""

    def __init__(self, processes: Processes, url: str, double: Double, folder: Path) -> None:
        self.processes = processes
        self.url = url
        self.double = double
        self.folder = folder
        self.code = folder / "code"
        self.code.mkdir()
        self._broker = Broker(url)
        self._sent = 0

    def worker(self, *options: str, slots: int = 2, **env: str) -> Child:
        """Return a worker that consumes."""
        plain = {k: v for k, v in os.environ.items() if not k.startswith("HEADWAY_")}
        environment = {
            **plain,
            "HEADWAY_BROKER_URL": self.url,
            "HEADWAY_API_URL": self.double.url,
            "HEADWAY_TOKEN": TOKEN,
            "HEADWAY_STATE_DIR": str(self.folder / "state"),
            "HEADWAY_HTTP_ALLOW": "127.0.0.1",
            **env,
        }
        before = len(self.double.boots)
        child = self.processes.start(
            [
                *(sys.executable, "-m", "headway_worker", "--class", "small"),
                *("--slots", str(slots), "--code", str(self.code), *options),
            ],
            env=environment,
            cwd=self.folder,
        )
        child.wait_for(lambda: len(self.double.boots) > before, what="registration")
        return child

    def dispatch(self, attempt: str, *, queue: str = QUEUE, dispatch_no: int = 1) -> None:
        message = {
            "v": 1, "team": "analytics", "run": "run1", "step": "s", "attempt": attempt,
            "fence": 1, "dispatch_no": dispatch_no, "queue": queue,
        }  # fmt: skip
        self._send([message], queue)

    def send(self, body: Any) -> None:
        self._send(body, QUEUE)

    def _send(self, args: Any, queue: str) -> None:
        self._sent += 1
        self._broker.send_task(args, queue, id=f"sent-{self._sent}")

    def run(self, attempt: str, script: str, **more: Any) -> None:
        """Make a shell step claimable and ring for it."""
        self.double.add(attempt, do=script, **more)
        self.dispatch(attempt)

    def ended(self, attempt: str) -> Any:
        """Return the completion, once there is one."""
        self.double.wait(lambda: attempt in self.double.completions)
        return self.double.completions[attempt]


def sleepers(mark: str) -> int:
    commands = (p.info["cmdline"] or [] for p in psutil.process_iter(["cmdline"]))
    return sum(command == ["sleep", mark] for command in commands)


def terminate(child: Child) -> int:
    os.kill(child.pid, signal.SIGTERM)
    return ended_with(child)


def ended_with(child: Child) -> int:
    status = wait_until(lambda: (child.exit_status,) if not child.running else None)[0]
    assert status is not None
    return status
