"""A whole worker: register, start the threads, consume until told to end, drain.

The one place that builds the worker's parts.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version

import structlog

from headway.backoff import exponential
from headway.clock import SystemClock
from headway.crash_points import crash_point
from headway.errors import UnavailableError
from headway.garbage import spare_what_stays
from headway.protocol.messages import Claim, Held, Register, Registered
from headway.protocol.queues import probe_queue
from headway.refusals import Refusals
from headway.signals import Handler
from headway_worker.api import Api
from headway_worker.artifacts import ArtifactTransfer
from headway_worker.attempt import Attempts, Ports
from headway_worker.claims import Claims
from headway_worker.consumer import Consumer
from headway_worker.environment import base_environment
from headway_worker.events import EventQueue
from headway_worker.executors.registry import executors
from headway_worker.hearing import Hearing
from headway_worker.heartbeat import Heart
from headway_worker.identity import StateFolder
from headway_worker.intake import Intake
from headway_worker.journal import Journal
from headway_worker.leftovers import reap
from headway_worker.logs import LogShipper
from headway_worker.metrics import Figures, MetricsServer
from headway_worker.redaction import Redactor
from headway_worker.reporter import Reporter
from headway_worker.roster import Roster
from headway_worker.runner.interpreters import Interpreters
from headway_worker.runner.spawner import Spawner
from headway_worker.scratch import ScratchFolders
from headway_worker.settings import WorkerSettings
from headway_worker.spool import Spool
from headway_worker.stop import StopReason
from headway_worker.voice import BrokerVoice

SUPERSEDED_STATUS = 75
GAVE_UP_STATUS = 1
DEAF_STATUS = 76
REFUSED_STATUS = 4
_KILL_GRACE_SECONDS = 3.0
_FLUSH_SECONDS = 5.0
_log = structlog.get_logger()


def run(settings: WorkerSettings, own_env: Mapping[str, str]) -> int:
    """Return the exit status: told to end (0), refused (4), superseded (75), deaf (76), or
    broken (1).

    Raises:
        ForbiddenError: the token is not a worker's, or not of the team that was given.
        UnavailableError: the state folder cannot be used.
    """
    _log.info("worker_starting", **settings.redacted())
    folder = StateFolder.open(settings.state_dir)
    spawner = Spawner()
    spawner.start()  # before any thread or connection that it could inherit
    worker = Worker(settings, folder, spawner, own_env)
    try:
        return worker.run()
    finally:
        worker.close()
        folder.close()


class Worker:
    """One worker process's parts, and the order of its life."""

    def __init__(
        self,
        settings: WorkerSettings,
        folder: StateFolder,
        spawner: Spawner,
        own_env: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._identity = folder.identity(self._clock)
        self._spawner = spawner
        self._base_env = base_environment(own_env, settings.pass_env)
        self._ending = threading.Event()
        self._status = 0
        self._apis: list[Api] = []
        self._roster = Roster(settings.slots)
        self._spool = Spool(folder.path / "spool", limit_bytes=settings.spool_limit_bytes)
        self._journal = Journal(
            folder.path / "journal",
            boot=self._identity.boot,
            machine_boot=self._identity.machine_boot,
            slots=settings.slots,
        )
        self._scratch = ScratchFolders(folder.path / "scratch", self._clock)
        self._interpreters = Interpreters(spawner, self._base_env, self._clock, keep=settings.slots)

    def run(self) -> int:
        """Live until told to end; return the exit status."""
        handler = Handler(self._ending.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, handler)
        reaped = self._reap()
        registered_at = self._clock.monotonic()
        registered = self._register()
        if registered is None:
            return 0
        self._build(registered, registered_at, reaped)
        self._reporter.start()
        self._logs.start()
        self._heart.start()
        self._hearing.start()
        if self._settings.metrics_listen:
            self._metrics = MetricsServer(self._settings.metrics_listen, self._figures)
        drain = threading.Thread(target=self._end_when_told, name="drain", daemon=True)
        drain.start()
        spare_what_stays()
        _log.info("worker_ready", worker=self._identity.worker, boot=self._identity.boot)
        self._consumer.run(self._gave_up)
        drain.join()
        return self._status

    def close(self) -> None:
        """Stop what runs and free what is held; nothing that was reported is lost by it."""
        for part in ("_hearing", "_heart", "_logs"):
            if hasattr(self, part):
                getattr(self, part).stop()
        if hasattr(self, "_metrics"):
            self._metrics.close()
        if hasattr(self, "_reporter"):
            self._reporter.close()
        self._interpreters.close()
        self._spawner.close()
        self._spool.close()
        self._journal.close()
        for api in self._apis:
            api.close()

    def _reap(self) -> list[Held]:
        """End what an earlier boot left running, and its folders."""
        spooled = [entry.attempt for entry in self._spool.pending()]
        reaped = reap(self._journal.left, spooled, pause=time.sleep)
        self._scratch.prepare()
        if reaped:
            _log.warning("reaped", attempts=[held.attempt for held in reaped])
        return reaped

    def _api(self, timeout: float = 10.0) -> Api:
        settings = self._settings
        api = Api(settings.api_url, settings.token.get_secret_value(), timeout=timeout)
        self._apis.append(api)
        return api

    def _register(self) -> Registered | None:
        """Return the coordinator's welcome; None if told to end before it came."""
        api = self._api()
        message = Register(
            worker=self._identity.worker,
            boot=self._identity.boot,
            team=self._settings.team,
            classes=list(self._settings.classes),
            slots=self._settings.slots,
            hostname=self._identity.hostname,
            machine_boot=self._identity.machine_boot,
            version=_version(),
        )
        tries = 0
        while not self._ending.is_set():
            try:
                return _introduce(api, message)
            except UnavailableError as error:
                tries += 1
                _log.warning("register_failed", code=error.code, error=error.message)
                pause = exponential(
                    tries, base=timedelta(milliseconds=200), cap=timedelta(seconds=5)
                )
                self._ending.wait(pause.total_seconds())
        return None

    def _build(self, registered: Registered, at: float, reaped: list[Held]) -> None:
        settings, identity, clock = self._settings, self._identity, self._clock
        lease, interval = registered.lease_ms / 1000, registered.heartbeat_ms / 1000
        self._refusals = Refusals()
        self._reporter = Reporter(
            self._spool,
            EventQueue(settings.broker_url, identity.boot),
            self._api(),
            clock,
            # A whole heartbeat must have had the chance to acknowledge what the broker carried.
            patience=timedelta(seconds=max(3.0, interval + 0.5)),
            in_hand=self._in_hand,
        )
        self._logs = LogShipper(self._api(), identity)
        self._heart = Heart(
            self._api(timeout=max(1.0, min(5.0, lease / 6))),
            identity,
            self._roster,
            self._spool,
            self._reporter,
            clock,
            lease_seconds=lease,
            interval_seconds=interval,
            reaped=reaped,
            on_reaped_told=self._journal.forget_left,
            on_superseded=self._superseded,
            on_refused=self._refused,
            doubt=lambda queues: self._hearing.doubt(queues),
            trust=self._spawner.trust,
        )
        self._heart.lease.renewed_at = at
        self._heart.promise(at, lease)
        queues = settings.queues(registered.team)
        probe = probe_queue(registered.team, identity.worker)
        self._hearing = Hearing(
            BrokerVoice(settings.broker_url, probe),
            clock,
            queues=lambda: [] if self._intake.is_draining else queues,
            limit=settings.deaf_after,
            has_free_slot=lambda: self._roster.free() > 0,
            reconnect=lambda: self._consumer.reconnect(),
            on_deaf=self._deaf,
        )
        self._intake = Intake(
            self._roster,
            Attempts(self._ports(lease)).handle,
            refusals=self._refusals,
            heard=self._hearing.heard,
        )
        self._consumer = Consumer(
            settings.broker_url,
            queues,
            probe=probe,
            name=f"{identity.worker}@{identity.hostname}",
            slots=settings.slots,
            intake=self._intake,
            clock=clock,
        )

    def _ports(self, lease: float) -> Ports:
        transfers = self._api(timeout=60.0)

        def transfer(claim: Claim, token: str, redactor: Redactor) -> ArtifactTransfer:
            return ArtifactTransfer(
                transfers,
                attempt=claim.attempt,
                fence=claim.fence,
                token=token,
                redactor=redactor,
            )

        claims = Claims(
            self._api(),
            self._identity,
            self._clock,
            patience=timedelta(seconds=lease / 3),
            stopping=self._ending,
            in_hand=self._in_hand,
            granted=lambda since, seconds: self._heart.granted(since, seconds),
        )
        return Ports(
            claims=claims,
            refusals=self._refusals,
            executors=executors(self._spawner, self._interpreters, self._settings.reachable()),
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
            code=self._settings.code,
        )

    def _in_hand(self) -> int:
        return self._roster.slots - self._roster.free()

    def _figures(self) -> Figures:
        left = self._heart.lease.trusted_until - self._clock.monotonic()
        return {
            "headway_worker_slots": self._roster.slots,
            "headway_worker_slots_free": self._roster.free(),
            "headway_worker_spool_completions": len(self._spool.pending()),
            "headway_worker_lease_seconds": max(0.0, left),
            "headway_worker_silence_seconds": self._hearing.silence(),
            "headway_worker_messages_refused_total": self._refusals.counts(),
        }

    def _superseded(self) -> None:
        """A newer boot of this worker is alive: leave the field to it."""
        if not self._ending.is_set():
            _log.error("superseded", worker=self._identity.worker, boot=self._identity.boot)
            self._status = SUPERSEDED_STATUS
            self._ending.set()

    def _refused(self) -> None:
        """The token is no good any more: what could run here has lost its leases by now."""
        if not self._ending.is_set():
            _log.error("token_refused", note="The worker ends; give it a new token.")
            self._status = REFUSED_STATUS
            self._ending.set()

    def _deaf(self) -> None:
        """The consumer hears nothing any more: end, so that a supervisor starts another."""
        if not self._ending.is_set():
            self._status = DEAF_STATUS
            self._ending.set()

    def _gave_up(self) -> None:
        """Celery has stopped of itself: end as when told to, but not as if all was well."""
        if not self._ending.is_set():
            _log.error("consumer_gave_up", note="No more steps are taken; the worker ends.")
            self._status = GAVE_UP_STATUS
            self._ending.set()

    def _end_when_told(self) -> None:
        self._ending.wait()
        superseded = self._status == SUPERSEDED_STATUS
        patience = 0.0 if superseded else self._settings.drain_timeout.total_seconds()
        _log.info("draining", seconds=patience)
        self._heart.draining = True
        self._consumer.pause()
        if not self._roster.wait_empty(patience):
            reason = StopReason.DISOWNED if superseded else StopReason.PREEMPTED
            stopped = self._roster.stop_all(reason, _KILL_GRACE_SECONDS)
            _log.warning("steps_stopped", reason=str(reason), steps=stopped)
            self._roster.wait_empty(_KILL_GRACE_SECONDS + 15)
        if not superseded and not self._reporter.flush(_FLUSH_SECONDS):
            _log.warning("spool_not_flushed", completions=len(self._spool.pending()))
        self._consumer.end(self._status)


@crash_point("api.register")
def _introduce(api: Api, message: Register) -> Registered:
    return api.post("register", message, Registered)


def _version() -> str:
    try:
        return version("headway")
    except PackageNotFoundError:
        return "unknown"
