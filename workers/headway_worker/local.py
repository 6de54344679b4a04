"""A worker inside another process, for `headway run --local`: no Celery, no port.

Claims, heartbeats, reports, logs and artifacts are the ones of every worker; what differs is how
the API is reached and where dispatches come from.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import orjson
import structlog

import headway
from headway.clock import SystemClock
from headway.errors import HeadwayError, UnavailableError
from headway.local_parts import Exchange
from headway.protocol.messages import Claim, Dispatch, Register, Registered
from headway.refusals import Refusals
from headway.step_queue import StepQueue
from headway_worker.api import Api, M, parsed, refusal
from headway_worker.artifacts import ArtifactTransfer
from headway_worker.attempt import Attempts, Ports
from headway_worker.claims import Claims
from headway_worker.environment import base_environment
from headway_worker.executors.registry import executors
from headway_worker.heartbeat import Heart
from headway_worker.identity import StateFolder
from headway_worker.journal import Journal
from headway_worker.logs import LogShipper
from headway_worker.redaction import Redactor
from headway_worker.reporter import Reporter
from headway_worker.roster import Entry, Roster
from headway_worker.runner.interpreters import Interpreters
from headway_worker.runner.spawner import Spawner
from headway_worker.scratch import ScratchFolders
from headway_worker.settings import LocalSettings, loaded
from headway_worker.spool import Spool
from headway_worker.stop import StopReason

_SPOOL_BYTES = 1 << 30
_GRACE_SECONDS = 2.0
_END_SECONDS = 15.0
_log = structlog.get_logger()


class InsideApi(Api):
    """The API in this process instead of behind addresses."""

    def __init__(self, exchange: Exchange, token: str) -> None:
        super().__init__((), token)
        self._exchange = exchange

    def send(self, path: str, body: bytes) -> bytes:
        headers = {"content-type": "application/json"}
        with self._answered("POST", path, headers, body) as chunks:
            return b"".join(chunks)

    def put(
        self,
        path: str,
        content: Iterable[bytes],
        *,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        answer: type[M],
    ) -> M:
        target = f"{path}?{urlencode(params)}"
        with self._answered("PUT", target, headers, content) as chunks:
            return parsed(b"".join(chunks), answer)

    @contextmanager
    def download(self, path: str, headers: Mapping[str, str]) -> Iterator[Iterator[bytes]]:
        with self._answered("GET", path, headers, None) as chunks:
            yield chunks

    @contextmanager
    def _answered(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        content: bytes | Iterable[bytes] | None,
    ) -> Iterator[Iterator[bytes]]:
        given = {**self._headers, **headers}
        with self._exchange(method, f"/worker/v1/{target}", given, content) as answer:
            if answer.status >= 300:
                raise refusal(answer.status, b"".join(answer.chunks))
            yield answer.chunks


class _Reports:
    """Implements the reporter's `Publisher`: the API takes completions at once."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def publish(self, bodies: Sequence[str]) -> None:
        batch = orjson.dumps({"completions": [orjson.loads(body) for body in bodies]})
        try:
            self._api.send("completions", batch)
        except UnavailableError:
            raise
        except HeadwayError as error:
            raise UnavailableError(error.code, error.message) from error

    def close(self) -> None: ...


class Local:
    """Implements `headway.local_parts.LocalWorker`."""

    def __init__(
        self, folder: Path, queue: StepQueue, *, code: Path, classes: Sequence[str], slots: int
    ) -> None:
        self._reachable = loaded(LocalSettings, {}).reachable()
        self._spawner = Spawner()
        self._spawner.start()  # before any thread or connection that it could inherit
        self._queue = queue
        self._code = code
        self._classes = list(classes)
        self._clock = SystemClock()
        self._folder = StateFolder.open(folder / "worker")
        self._identity = self._folder.identity(self._clock)
        self._roster = Roster(slots)
        self._base_env = base_environment(os.environ, ())
        self._interpreters = Interpreters(self._spawner, self._base_env, self._clock, keep=slots)
        path = self._folder.path
        self._spool = Spool(path / "spool", limit_bytes=_SPOOL_BYTES)
        self._journal = Journal(
            path / "journal",
            boot=self._identity.boot,
            machine_boot=self._identity.machine_boot,
            slots=slots,
        )
        self._scratch = ScratchFolders(path / "scratch", self._clock)
        self._scratch.prepare()
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, exchange: Exchange, token: str) -> None:
        """Register, and take what the queue holds until `close`."""
        api = InsideApi(exchange, token)
        registered = api.post("register", self._introduction(), Registered)
        lease = registered.lease_ms / 1000
        self._reporter = Reporter(
            self._spool, _Reports(api), api, self._clock, patience=timedelta(seconds=10)
        )
        self._logs = LogShipper(api, self._identity)
        self._heart = Heart(
            api,
            self._identity,
            self._roster,
            self._spool,
            self._reporter,
            self._clock,
            lease_seconds=lease,
            interval_seconds=registered.heartbeat_ms / 1000,
            reaped=[],
            on_reaped_told=lambda: None,
            on_superseded=self._ending.set,
            trust=self._spawner.trust,
        )
        attempts = Attempts(self._ports(api, lease))
        for part in (self._reporter, self._logs, self._heart):
            part.start()
        for number in range(self._roster.slots):
            thread = threading.Thread(
                target=self._take_all, args=(attempts,), name=f"slot-{number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """End every step that still runs; no process is left when this returns."""
        self._ending.set()
        self._queue.close()
        self._roster.stop_all(StopReason.PREEMPTED, _GRACE_SECONDS)
        self._roster.wait_empty(_END_SECONDS)
        for thread in self._threads:
            thread.join(_END_SECONDS)
        if self._threads:
            self._heart.stop()
            self._logs.stop()
            self._reporter.close()
        self._interpreters.close()
        self._spawner.close()
        self._spool.close()
        self._journal.close()
        self._folder.close()

    def _introduction(self) -> Register:
        return Register(
            worker=self._identity.worker,
            boot=self._identity.boot,
            team=None,
            classes=self._classes,
            slots=self._roster.slots,
            hostname=self._identity.hostname,
            machine_boot=self._identity.machine_boot,
            version=headway.__version__,
        )

    def _ports(self, api: Api, lease: float) -> Ports:
        def transfer(claim: Claim, token: str, redactor: Redactor) -> ArtifactTransfer:
            return ArtifactTransfer(
                api, attempt=claim.attempt, fence=claim.fence, token=token, redactor=redactor
            )

        claims = Claims(
            api,
            self._identity,
            self._clock,
            patience=timedelta(seconds=lease / 3),
            stopping=self._ending,
        )
        return Ports(
            claims=claims,
            refusals=Refusals(),
            executors=executors(self._spawner, self._interpreters, self._reachable),
            roster=self._roster,
            journal=self._journal,
            logs=self._logs,
            spool=self._spool,
            reporter=self._reporter,
            transfer=transfer,
            identity=self._identity,
            clock=self._clock,
            scratch=self._scratch,
            base_env=self._base_env,
            code=self._code,
        )

    def _take_all(self, attempts: Attempts) -> None:
        while (dispatch := self._queue.take()) is not None:
            if self._roster.enter(dispatch.attempt) is Entry.ENTERED:
                self._handle(attempts, dispatch)

    def _handle(self, attempts: Attempts, dispatch: Dispatch) -> None:
        try:
            attempts.handle(dispatch)
        except Exception:  # the edge of the thread: one step must not cost the others their slot
            _log.exception("dispatch_broke", attempt=dispatch.attempt)
        finally:
            self._roster.leave(dispatch.attempt)


def make(
    folder: Path, queue: StepQueue, *, code: Path, classes: Sequence[str], slots: int
) -> Local:
    """Return the worker: the entry point of the group `headway.local`."""
    return Local(folder, queue, code=code, classes=classes, slots=slots)
