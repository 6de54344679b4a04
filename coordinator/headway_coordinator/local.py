"""A coordinator in threads of this process, for `headway run --local`: no port, no broker.

The engine, the application, the loops and the API are the ones that serve; what differs is how
they are reached: dispatches go to a queue in memory, and requests to the API as function calls.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from headway.clock import Clock, SystemClock
from headway.ids import new_id
from headway.step_queue import StepQueue
from headway_coordinator.api.app import create_app
from headway_coordinator.application.advancing import Advancer
from headway_coordinator.application.batch import Incoming
from headway_coordinator.application.capacity import CapacityView
from headway_coordinator.application.plans import Plans
from headway_coordinator.application.report import Report
from headway_coordinator.application.resolving import Resolver
from headway_coordinator.application.services import Services
from headway_coordinator.application.sweeping import BrokerView, Sweeper, SweepReport
from headway_coordinator.inside import InsideTransport, Loop
from headway_coordinator.integrations.evaluator import SandboxedEvaluator
from headway_coordinator.integrations.store import open_store
from headway_coordinator.logging import set_up_logging
from headway_coordinator.loops.leadership import Leadership
from headway_coordinator.loops.leading import LeadLoop
from headway_coordinator.loops.mailbox import Mailbox
from headway_coordinator.loops.runner import Runner
from headway_coordinator.raising import make_token
from headway_coordinator.storage.migrating import upgrade
from headway_coordinator.storage.opening import open_storage

_TERM = timedelta(seconds=30)
_WORKER_LEASE = timedelta(seconds=60)
_HEARTBEAT = timedelta(seconds=1)
_CLAIM_WITHIN = timedelta(seconds=10)
_BUDGET = timedelta(milliseconds=500)
_PAUSE = timedelta(milliseconds=2)  # between transactions, so that claims get their turn


class Local:
    """Implements `headway.local_parts.LocalCoordinator`; everything lies in `folder`."""

    def __init__(self, folder: Path, queue: StepQueue) -> None:
        set_up_logging("info", folder / "headway.log")
        url = f"sqlite:///{folder / 'headway.db'}"
        upgrade(url)
        clock = SystemClock()
        self._storage = open_storage(url, application_name="headway:local")
        self._evaluator = SandboxedEvaluator(_BUDGET)
        self._mailbox = Mailbox()
        self._campaigning, self._leading = Runner(), Runner()
        self._leadership = Leadership(
            leases=self._storage.leases,
            clock=clock,
            holder="local",
            boot=new_id(clock),
            term=_TERM,
        )
        self._lead_loop = self._build(queue, clock)
        services = Services(
            storage=self._storage,
            store=open_store(f"file://{folder / 'store'}"),
            secret_key=secrets.token_bytes(32),
            clock=clock,
            nudge=self._mailbox.nudge,
            worker_lease=_WORKER_LEASE,
            heartbeat=_HEARTBEAT,
        )
        self._loop = Loop()
        self.transport = InsideTransport(create_app(services), self._loop)
        self.exchange = self.transport.exchange

    def _build(self, queue: StepQueue, clock: Clock) -> LeadLoop:
        capacity = CapacityView(clock, live_within=_HEARTBEAT * 10, refresh=_HEARTBEAT / 2)
        advancer = Advancer(
            storage=self._storage,
            resolver=Resolver(self._evaluator),
            plans=Plans(self._storage.definitions),
            doorbell=queue,
            capacity=capacity,
            clock=clock,
            claim_within=_CLAIM_WITHIN,
        )
        sweeper = Sweeper(
            storage=self._storage,
            doorbell=queue,
            watch=_Inside(queue, clock),
            capacity=capacity,
            clock=clock,
            lease=_WORKER_LEASE,
            claim_within=_CLAIM_WITHIN,
        )
        return LeadLoop(
            leadership=self._leadership,
            advancer=advancer,
            sweeper=sweeper,
            mailbox=self._mailbox,
            events=_NoEvents(),
            gauges=_NoGauges(),
            clock=clock,
            pause=_PAUSE,
            on_lead=lambda lease: self._mailbox.nudge(),
        )

    def start(self) -> None:
        """Start the threads."""
        self._loop.start()
        self._campaigning.start(self._leadership)
        self._leading.start(self._lead_loop)

    def token(self, role: str, team: str | None) -> str:
        return make_token(self._storage, subject="local", role=role, team=team)

    def close(self) -> None:
        """End the threads and the child that evaluates expressions."""
        self._leading.ask()
        self._mailbox.nudge()
        self._leading.stop()
        self._campaigning.stop()
        self._loop.close()
        self._evaluator.close()
        self._storage.close()


class _Inside:
    """Implements `Watch`: a queue in memory is always there, and so is the API."""

    def __init__(self, queue: StepQueue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._since = clock.monotonic()

    def broker(self) -> BrokerView:
        return BrokerView(self._queue.depths(), losses=0, reachable=True)

    def api_healthy_for(self) -> timedelta:
        return timedelta(seconds=self._clock.monotonic() - self._since)

    def ask(self, queues: Sequence[str]) -> None: ...


class _NoEvents:
    """Implements `EventSource`: completions come by the API alone."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def acknowledge(self, incoming: Sequence[Incoming]) -> None: ...


class _NoGauges:
    """Implements `Gauges`: nobody reads metrics here."""

    def batch(self, report: Report, seconds: float) -> None: ...

    def sweep(self, report: SweepReport) -> None: ...

    def leading(self, epoch: int | None, open_runs: int) -> None: ...


def make(folder: Path, queue: StepQueue) -> Local:
    """Return the coordinator: the entry point of the group `headway.local`."""
    return Local(folder, queue)
