"""The load: runs are asked for all the time, some are cancelled, and garbage is thrown in."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg
from kombu import Connection

from headway.broker_options import transport, transport_options
from headway.client import Client
from headway.errors import HeadwayError, UnavailableError
from headway.protocol.envelope import task_arguments, task_headers, task_id
from headway.protocol.messages import Dispatch
from headway.protocol.queues import EVENTS
from tests.fault.chaos.observing import Observer
from tests.fault.chaos.pipelines import MIXED, TEAMS

FORGED = "forged-by-chaos"
_CANCEL_EVERY = 15


@dataclass(frozen=True, slots=True)
class Asked:
    """A run that was promised."""

    run: str
    pipeline: str


class Load:
    """Asks for runs; each promise is written down once it was given, a line `run key` each."""

    def __init__(self, urls: list[str], token: str, accepted: Path, database_url: str) -> None:
        self._client = Client(urls, token)
        self._observer = Observer(database_url)
        self._accepted = accepted
        self._keys = count(1)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._open = 0
        self.asked: list[Asked] = []

    def apply(self, files: Iterable[tuple[str, str]]) -> None:
        self._client.apply(list(files))

    def ask(self, team: str, shape: str) -> str:
        """Return the id of a new run; asks again and again until it is promised, or `close`."""
        with self._lock:
            pipeline, key = f"{team}-{shape}", f"key-{next(self._keys)}"
            while True:
                try:
                    run: str = self._client.start_run(pipeline, team=team, key=key)["id"]
                    break
                except UnavailableError:
                    if self._closed.wait(0.2):
                        raise
            with self._accepted.open("a") as file:
                file.write(f"{run} {key}\n")
            self.asked.append(Asked(run, pipeline))
            return run

    def begin(self, *, open_runs: int) -> None:
        """Keep so many runs of mixed shapes open, until `end`."""
        self._open = open_runs
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Ask for no more."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            thread.join()

    def close(self) -> None:
        self._closed.set()
        self.end()
        self._client.close()
        self._observer.close()

    def _run(self) -> None:
        for number in count():
            while not self._has_room():
                if self._stop.wait(0.1):
                    return
            if self._stop.is_set():
                return
            team, shape = TEAMS[number % 2], MIXED[number // 2 % len(MIXED)]
            try:
                run = self.ask(team, shape)
                if number % _CANCEL_EVERY == _CANCEL_EVERY - 1:
                    self._client.cancel(run, "by chaos")
            except HeadwayError:
                continue  # the run has ended already, or nobody answers just now

    def _has_room(self) -> bool:
        try:
            return self._observer.open_runs() < self._open
        except psycopg.OperationalError:
            return False


class Vandal:
    """Puts forged reports and doubled dispatches on the broker, a few a second."""

    def __init__(self, broker_url: str, database_url: str) -> None:
        self._url = broker_url
        self._observer = Observer(database_url)
        self._stop = threading.Event()
        self.forged = self.doubled = 0
        self._thread = threading.Thread(target=self._run, name="vandal", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._observer.close()

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            live = self._observer.some(
                "SELECT team, run_id, step, id, fence, dispatch_no, queue, worker, boot"
                " FROM attempt WHERE state IN ('dispatched', 'running') ORDER BY id DESC LIMIT 3"
            )
            if live:
                try:
                    self._throw(live)
                except Exception:  # the broker is what is being broken
                    continue

    def _throw(self, live: list[tuple[str, str, str, str, int, int, str, str, str]]) -> None:
        with Connection(
            self._url,
            transport=transport(self._url),
            transport_options=transport_options(self._url),
            connect_timeout=2,
        ) as connection:
            producer = connection.Producer()
            for team, run, step, attempt, fence, number, queue, worker, boot in live:
                dispatch = Dispatch.model_construct(
                    v=1, team=team, run=run, step=step, attempt=attempt, fence=fence,
                    dispatch_no=number, queue=queue,
                )  # fmt: skip
                producer.publish(
                    task_arguments(dispatch), exchange="", routing_key=queue, serializer="json",
                    headers=task_headers(dispatch), correlation_id=task_id(dispatch), retry=False,
                )  # fmt: skip
                self.doubled += 1
                body = json.dumps(
                    {
                        "attempt": attempt, "fence": fence, "run": run, "step": step,
                        "worker": worker or "w", "boot": boot or "b", "seq": 1,
                        "outcome": "failed", "reason": FORGED,
                        "started_at": "2026-01-01T00:00:00Z",
                        "finished_at": "2026-01-01T00:00:00Z",
                    }
                )  # fmt: skip
                forged = json.dumps({"completions": [{"body": body, "mac": "0" * 64}]})
                producer.publish(
                    forged, exchange="", routing_key=EVENTS, content_type="application/json",
                    content_encoding="utf-8", retry=False,
                )  # fmt: skip
                self.forged += 1
