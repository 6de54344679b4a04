"""The leader's loop: takes what arrived, advances, sweeps. Only its thread writes runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol

import structlog

from headway.clock import Clock
from headway_coordinator.application.advancing import Advancer
from headway_coordinator.application.batch import Incoming
from headway_coordinator.application.filling import BATCH_LIMIT
from headway_coordinator.application.ports import Lease, LeaseLost, StorageUnavailable
from headway_coordinator.application.report import Report
from headway_coordinator.application.sweeping import Sweeper, SweepReport
from headway_coordinator.loops.leadership import Leadership
from headway_coordinator.loops.mailbox import Mailbox

log = structlog.get_logger("headway.leading")

_POLL_S = 1.0
# With nothing open there is nothing to sweep, and only a new run can come, whose nudge was lost.
_IDLE_POLL_S = 2.0
_IDLE_SWEEP_S = 30.0
# With many attempts in flight more completions are under way: a transaction costs the same for
# ten as for one. A chain, one step after the other, never waits.
_FEW = 3
_GATHER_S = 0.002


class EventSource(Protocol):
    """The consumer of completion events; only a leader's runs."""

    def start(self) -> None: ...

    def stop(self) -> None:
        """Stop consuming; events not yet acknowledged are the broker's or the workers' again."""

    def acknowledge(self, incoming: Sequence[Incoming]) -> None: ...


class Gauges(Protocol):
    """Where the loop reports what it did."""

    def batch(self, report: Report, seconds: float) -> None: ...

    def sweep(self, report: SweepReport) -> None: ...

    def leading(self, epoch: int | None, open_runs: int) -> None: ...


class LeadLoop:
    """Leads while the lease is held; otherwise waits. One `tick` is one batch."""

    name = "leading"

    def __init__(
        self,
        *,
        leadership: Leadership,
        advancer: Advancer,
        sweeper: Sweeper,
        mailbox: Mailbox,
        events: EventSource,
        gauges: Gauges,
        clock: Clock,
        pause: timedelta,
        on_lead: Callable[[Lease | None], None] = lambda lease: None,
    ) -> None:
        self._leadership = leadership
        self._advancer = advancer
        self._sweeper = sweeper
        self._mailbox = mailbox
        self._events = events
        self._gauges = gauges
        self._clock = clock
        self._pause_s = pause.total_seconds()
        self._on_lead = on_lead
        self._epoch: int | None = None
        self._loaded = False
        self._polled = self._swept = float("-inf")
        self._in_flight = 0

    def tick(self) -> float:
        lease = self._leadership.hold()
        if lease is None:
            self._follow()
            self._mailbox.take(0, _POLL_S / 4)
            return 0.0
        try:
            if lease.epoch != self._epoch or not self._loaded:
                self._begin(lease)
            self._lead(lease)
        except LeaseLost as error:
            log.warning("fenced", reason=error.message)
            self._leadership.drop(lease)
            self._follow()
        except StorageUnavailable as error:
            log.warning("database_unavailable", reason=error.message)
            self._sweeper.database_failed()
            self._loaded = False
            return 0.5
        return max(self._pause_s, _GATHER_S if self._in_flight > _FEW else 0.0)

    def end(self) -> None:
        """Stop leading in good order: consume no more, then give the lease back."""
        self._follow()
        self._leadership.resign()

    def _begin(self, lease: Lease) -> None:
        """Read every open run, then start to listen."""
        started = self._clock.monotonic()
        count = self._advancer.load()
        self._loaded = True
        self._in_flight = 0
        if self._epoch != lease.epoch:
            self._epoch = lease.epoch
            self._sweeper.begin()
            self._events.start()
            self._on_lead(lease)
        self._polled = self._swept = float("-inf")
        seconds = round(self._clock.monotonic() - started, 3)
        log.info("leading", epoch=lease.epoch, open_runs=count, seconds=seconds)

    def _follow(self) -> None:
        if self._epoch is None:
            return
        self._events.stop()
        self._mailbox.clear()
        self._epoch = None
        self._loaded = False
        self._gauges.leading(None, 0)
        self._on_lead(None)

    def _lead(self, lease: Lease) -> None:
        incoming, nudged = self._mailbox.take(BATCH_LIMIT, self._wait())
        now = self._clock.monotonic()
        inbox = nudged or now >= self._poll_at()
        if inbox:
            self._polled = now
        try:
            self._advance(lease, incoming, inbox=inbox)
        except StorageUnavailable:
            self._mailbox.put_back(incoming)
            raise
        if now >= self._sweep_at():
            self._swept = now
            self._sweep(lease)

    def _advance(self, lease: Lease, incoming: Sequence[Incoming], *, inbox: bool) -> int:
        """Advance by one batch; return how many inbox rows it took."""
        started = self._clock.monotonic()
        report = self._advancer.advance(lease, incoming, inbox=inbox)
        self._events.acknowledge(incoming)
        self._in_flight = max(0, self._in_flight + report.dispatched - len(report.attempts_ended))
        self._gauges.batch(report, self._clock.monotonic() - started)
        self._gauges.leading(lease.epoch, self._advancer.open_runs())
        if report.inbox >= BATCH_LIMIT:
            self._mailbox.nudge()  # a full page: there may be more
        return report.inbox

    def _sweep(self, lease: Lease) -> None:
        report, lost = self._sweeper.sweep(lease)
        if lost:
            # Completions that came by HTTP count before their attempts are given up.
            while self._advance(lease, [], inbox=True) >= BATCH_LIMIT:
                pass
            self._advance(lease, lost, inbox=False)
        stranded = self._sweeper.stranded()
        if stranded:
            log.warning("runs_stranded", runs=stranded[:20], count=len(stranded))
            self._advancer.read_again(stranded)
        self._gauges.sweep(report)

    def _wait(self) -> float:
        """Return how many seconds there is nothing to do unless something arrives."""
        now = self._clock.monotonic()
        wait = max(0.0, min(self._poll_at(), self._sweep_at()) - now)
        due = self._advancer.wakes_at()
        if due is not None:
            wait = min(wait, max(0.0, (due - self._advancer.now()).total_seconds()))
        return min(wait, _IDLE_POLL_S)

    def _poll_at(self) -> float:
        return self._polled + (_POLL_S if self._advancer.has_open_runs() else _IDLE_POLL_S)

    def _sweep_at(self) -> float:
        return self._swept + (_POLL_S if self._advancer.has_open_runs() else _IDLE_SWEEP_S)
