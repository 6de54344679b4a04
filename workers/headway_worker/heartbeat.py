"""The heartbeat: renews leases, hears what to cancel, and ends steps whose lease may run out."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from headway.clock import Clock
from headway.crash_points import crash_point
from headway.errors import ForbiddenError, HeadwayError
from headway.protocol.messages import (
    CANCEL_GRACE_MS,
    FINISHED_LIMIT,
    Heartbeat,
    HeartbeatAnswer,
    Held,
)
from headway_worker.api import Api
from headway_worker.identity import Identity
from headway_worker.reporter import Reporter
from headway_worker.roster import Roster, trusted
from headway_worker.spool import Spool
from headway_worker.stop import StopReason

_NOT_LET_IN = (401, 403)
# A look costs a wake-up. Without a hold there is none sooner than a quarter of a lease from now.
_LONGEST_LOOK_SECONDS = 5.0
_log = structlog.get_logger()


@dataclass(slots=True)
class Lease:
    """How long the worker may trust its leases, judged by the clock of *sending* a request.

    Each attempt has a lease of its own; `renewed_at` is when all that were held were renewed last.
    """

    seconds: float
    renewed_at: float
    expired: bool = field(default=False)

    @property
    def trusted_until(self) -> float:
        return self.renewed_at + trusted(self.seconds)

    @property
    def grace(self) -> float:
        """Return how long steps get to end by themselves: all is over 1 s before the lease is."""
        return max(0.1, min(2.0, self.seconds / 12))


class Heart:
    """Two threads: one talks to the coordinator, one watches the lease even while that hangs."""

    def __init__(
        self,
        api: Api,
        identity: Identity,
        roster: Roster,
        spool: Spool,
        reporter: Reporter,
        clock: Clock,
        *,
        lease_seconds: float,
        interval_seconds: float,
        reaped: list[Held],
        on_reaped_told: Callable[[], None],
        on_superseded: Callable[[], None],
        on_refused: Callable[[], None] = lambda: None,
        trust: Callable[[float], None] = lambda seconds: None,
        doubt: Callable[[list[str]], None] = lambda queues: None,
    ) -> None:
        """`doubt` hears at each beat in which queues steps wait for this worker; `on_refused` that
        its token was not good for a whole lease."""
        self._api = api
        self._identity = identity
        self._roster = roster
        self._spool = spool
        self._reporter = reporter
        self._clock = clock
        self._interval = interval_seconds
        self._reaped = reaped
        self._on_reaped_told = on_reaped_told
        self._on_superseded = on_superseded
        self._on_refused = on_refused
        self._refused_since: float | None = None
        self._trust = trust
        self._doubt = doubt
        self._stopping = threading.Event()
        self.lease = Lease(lease_seconds, clock.monotonic())
        self._promised = math.inf  # until when the launcher lets steps run without another word
        self.draining = False
        self._threads = [
            threading.Thread(target=self._beat_all, name="heartbeat", daemon=True),
            threading.Thread(target=self._guard_all, name="lease", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout=5)

    @crash_point("api.heartbeat")
    def beat(self) -> bool:
        """Send one heartbeat and obey its answer; say whether a good answer came."""
        sent_at = self._clock.monotonic()
        message = self._message()
        try:
            answer = self._api.post("heartbeat", message, HeartbeatAnswer)
        except HeadwayError as error:
            _log.warning("heartbeat_failed", code=error.code, error=error.message)
            if error.code == "superseded":
                self._on_superseded()
            elif self._is_refusal(error):
                self._note_refusal(sent_at)
            return False
        self._refused_since = None
        self._obey(answer, sent_at)
        if message.reaped:
            self._reaped = []
            self._on_reaped_told()
        return True

    def guard(self) -> None:
        """End the steps that were not renewed for almost a lease: they may run elsewhere soon."""
        lease = self.lease
        now = self._clock.monotonic()
        ended = self._roster.stop_over(now, StopReason.LEASE_EXPIRED, lease.grace)
        if ended and not lease.expired:
            _log.error("lease_expired", seconds=lease.seconds, attempts=ended)
        lease.expired = bool(ended)

    def _is_refusal(self, error: HeadwayError) -> bool:
        """A token that is refused too often is not even looked at for a while."""
        if isinstance(error, ForbiddenError):
            return error.status in _NOT_LET_IN
        return error.code == "too_many_failures" and self._refused_since is not None

    def _note_refusal(self, now: float) -> None:
        """A token may be mended over there; after a whole lease nothing is left to save here."""
        if self._refused_since is None:
            self._refused_since = now
        elif now - self._refused_since >= self.lease.seconds:
            self._on_refused()

    def promise(self, since: float, lease: float) -> None:
        """Let the launcher end the steps in our stead, should this process be stopped."""
        self._promised = since + lease - 0.3
        self._trust(self._promised - self._clock.monotonic())

    def granted(self, since: float, lease: float) -> None:
        """Hear of a claimed lease, which may be the first after a long silence of the coordinators.

        One that is over before the others was given after their setting had changed, and before a
        heartbeat said so.
        """
        if self._promised <= since or since + lease - 0.3 < self._promised:
            self.promise(since, lease)

    def _message(self) -> Heartbeat:
        running = self._roster.held()
        finished = [Held(attempt=e.attempt, fence=e.fence) for e in self._spool.pending()]
        ended = {held.attempt for held in finished}
        return Heartbeat(
            worker=self._identity.worker,
            boot=self._identity.boot,
            slots=self._roster.slots,
            slots_free=0 if self.draining or self._spool.is_full() else self._roster.free(),
            draining=self.draining,
            running=[held for held in running if held.attempt not in ended][:10_000],
            finished=finished[:FINISHED_LIMIT],
            reaped=self._reaped[:10_000],
        )

    def _obey(self, answer: HeartbeatAnswer, sent_at: float) -> None:
        if answer.superseded:
            self._on_superseded()
            return
        self.lease.renewed_at = sent_at
        self.lease.seconds = answer.lease_ms / 1000
        self._roster.renew(answer.renewed, sent_at, self.lease.seconds)
        self.promise(sent_at, self.lease.seconds)
        self._doubt(answer.unheard)
        self._reporter.acknowledge(answer.acknowledged)
        self._reporter.resend(answer.resend)
        for attempt in answer.lost:
            # What ended while the answer was on its way is gone from there as it is from here.
            if self._roster.stop(attempt, StopReason.DISOWNED, self.lease.grace):
                _log.warning("attempt_disowned", attempt=attempt)
        for attempt in answer.cancel:
            grace = answer.grace_ms.get(attempt, CANCEL_GRACE_MS) / 1000
            self._roster.stop(attempt, StopReason.CANCELLED, grace)

    def _beat_all(self) -> None:
        due = self._clock.monotonic()
        while not self._stopping.wait(max(0.0, due - self._clock.monotonic())):
            good = self.beat()
            # After a failure sooner again: another address may answer.
            pause = self._interval if good else min(1.0, self._interval)
            due = max(due + pause, self._clock.monotonic() + pause / 2)

    def _guard_all(self) -> None:
        while not self._stopping.wait(self.until_look()):
            self.guard()

    def until_look(self) -> float:
        """Return after how many seconds the leases are to be looked at."""
        longest = min(_LONGEST_LOOK_SECONDS, trusted(self.lease.seconds) / 4)
        first = self._roster.first_end()
        if first is None:
            return longest
        return min(longest, max(0.05, first - self._clock.monotonic()))
