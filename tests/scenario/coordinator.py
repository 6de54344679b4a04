"""A coordinator of the simulated cluster: the real loops without threads, on its own clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from headway.clock import Clock
from headway.expressions import evaluate
from headway_coordinator.application.advancing import Advancer
from headway_coordinator.application.batch import Incoming
from headway_coordinator.application.capacity import CapacityView
from headway_coordinator.application.plans import Plans
from headway_coordinator.application.report import Report
from headway_coordinator.application.resolving import Resolver
from headway_coordinator.application.sweeping import Sweeper, SweepReport
from headway_coordinator.loops.leadership import Leadership
from headway_coordinator.loops.leading import LeadLoop
from headway_coordinator.loops.mailbox import Mailbox
from tests.scenario.broker import Broker, Consumer, Surroundings
from tests.scenario.faults import FaultyStorage

TERM = timedelta(seconds=9)
WORKER_LEASE = timedelta(seconds=60)
CLAIM_WITHIN = timedelta(seconds=10)
HEARTBEAT = timedelta(seconds=3)
_TICKS = 60


class HostClock:
    """A clock that stands still while its host is paused, and goes on from there."""

    def __init__(self, world: Clock, *, ahead: timedelta = timedelta()) -> None:
        self._world = world
        self._ahead = ahead
        self._behind_s = 0.0
        self._paused_at: float | None = None

    def now(self) -> datetime:
        return self._world.now() + self._ahead - timedelta(seconds=self._lag())

    def monotonic(self) -> float:
        return self._world.monotonic() - self._lag()

    def pause(self) -> None:
        self._paused_at = self._world.monotonic()

    def resume(self) -> None:
        self._behind_s = self._lag()
        self._paused_at = None

    def _lag(self) -> float:
        if self._paused_at is None:
            return self._behind_s
        return self._behind_s + self._world.monotonic() - self._paused_at


class PromptMailbox(Mailbox):
    """Never waits: the world's clock does not go on by itself."""

    def take(self, limit: int, timeout: float) -> tuple[list[Incoming], bool]:
        return super().take(limit, 0)


class Gauges:
    """Keeps what the last batch and sweep did."""

    def __init__(self) -> None:
        self.report: Report | None = None
        self.swept: SweepReport | None = None

    def batch(self, report: Report, seconds: float) -> None:
        self.report = report

    def sweep(self, report: SweepReport) -> None:
        self.swept = report

    def leading(self, epoch: int | None, open_runs: int) -> None:
        pass


class InProcess:
    """An `Evaluator` without the child process."""

    def evaluate(self, source: str, context: Any) -> Any:
        return evaluate(source, context)


class Coordinator:
    """Campaigns, leads and sweeps when it is told to."""

    def __init__(
        self,
        name: str,
        *,
        storage: FaultyStorage,
        broker: Broker,
        clock: HostClock,
        key: bytes,
        tell: Any,
    ) -> None:
        self.name = name
        self.storage = storage
        self.clock = clock
        self.paused = False
        self.alive = True
        self.mailbox = PromptMailbox()
        self.gauges = Gauges()
        self.watch = Surroundings(broker, clock)
        self.events = Consumer(broker, storage, self.mailbox, key, tell)
        self.leadership = Leadership(
            leases=storage.leases, clock=clock, holder=name, boot=f"{name}-boot", term=TERM
        )
        capacity = CapacityView(clock, live_within=HEARTBEAT * 4, refresh=timedelta())
        self.advancer = Advancer(
            storage=storage,
            resolver=Resolver(InProcess()),
            plans=Plans(storage.definitions),
            doorbell=broker,
            capacity=capacity,
            clock=clock,
            claim_within=CLAIM_WITHIN,
        )
        sweeper = Sweeper(
            storage=storage,
            doorbell=broker,
            watch=self.watch,
            capacity=capacity,
            clock=clock,
            lease=WORKER_LEASE,
            claim_within=CLAIM_WITHIN,
        )
        self.loop = LeadLoop(
            leadership=self.leadership,
            advancer=self.advancer,
            sweeper=sweeper,
            mailbox=self.mailbox,
            events=self.events,
            gauges=self.gauges,
            clock=clock,
            pause=timedelta(),
        )
        self._campaigns_at = clock.monotonic()

    def work(self) -> None:
        """Renew or campaign if it is time, then tick until there is nothing to do."""
        if self.clock.monotonic() >= self._campaigns_at:
            self._campaigns_at = self.clock.monotonic() + self.leadership.tick()
        for _ in range(_TICKS):
            self.events.fetch()
            pause = self.loop.tick()
            if pause >= 0.5 or not self._has_more():
                return
        raise AssertionError(f"{self.name} does not come to rest")

    def _has_more(self) -> bool:
        if self.leadership.hold() is None:
            return False
        wakes_at = self.advancer.wakes_at()
        due = wakes_at is not None and wakes_at <= self.advancer.now()
        return due or len(self.mailbox) > 0 or self.events.has_more()
