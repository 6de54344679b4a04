"""The sweep: finds dispatches that the broker lost and attempts whose worker died.

It believes rows, and acts only when it could have known better: a lease counts as run out only if
the sweep itself saw database and API healthy for a whole lease.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog

from headway.backoff import exponential
from headway.clock import Clock
from headway_coordinator.application.batch import Incoming
from headway_coordinator.application.capacity import CapacityView
from headway_coordinator.application.ports import Doorbell, Lease, Storage
from headway_coordinator.application.worker_ports import Unclaimed
from headway_coordinator.engine.events import Finished

log = structlog.get_logger("headway.sweep")

_LONGEST_WAIT = timedelta(minutes=5)
_STRANDED_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class BrokerView:
    """What was last seen of the broker: messages a queue, and how often its data was gone."""

    depths: Mapping[str, int]
    losses: int
    reachable: bool


class Watch(Protocol):
    """Looks at broker and API from threads of its own, so that neither can delay the leader."""

    def broker(self) -> BrokerView: ...

    def api_healthy_for(self) -> timedelta:
        """Return for how long every look at the API has succeeded."""

    def ask(self, queues: Sequence[str]) -> None:
        """Name the queues whose depth is wanted from now on."""


@dataclass(slots=True)
class SweepReport:
    """What one sweep found."""

    unclaimed: int = 0
    overdue: int = 0
    redispatched: int = 0
    lost: int = 0
    broker_losses: int = 0
    amnesty: bool = False


class Sweeper:
    """One sweep at a time, by the leader's thread."""

    def __init__(
        self,
        *,
        storage: Storage,
        doorbell: Doorbell,
        watch: Watch,
        capacity: CapacityView,
        clock: Clock,
        lease: timedelta,
        claim_within: timedelta,
    ) -> None:
        self._storage = storage
        self._doorbell = doorbell
        self._watch = watch
        self._capacity = capacity
        self._clock = clock
        self._lease = lease
        self._claim_within = claim_within
        self._losses_seen = 0
        self._inherited: list[Unclaimed] = []
        self._stranded_at = float("-inf")
        self._database_since = clock.monotonic()

    def begin(self) -> None:
        """Start anew: what an earlier leader saw is not what this one saw.

        Nobody knows what it still published, or what the broker lost before this one looked: what
        is unclaimed now will be published again.
        """
        self._losses_seen = self._watch.broker().losses
        self._inherited = self._storage.sweeps.unclaimed()
        self._stranded_at = float("-inf")
        self._database_since = self._clock.monotonic()

    def database_failed(self) -> None:
        """The database could not be reached: attempts get a whole lease from now to renew."""
        self._database_since = self._clock.monotonic()

    def sweep(self, lease: Lease) -> tuple[SweepReport, list[Incoming]]:
        """Publish lost dispatches again; return the attempts that are lost, as events."""
        report = SweepReport()
        self._dispatches(lease, report)
        lost = self._dead(report)
        return report, lost

    # --- dispatches ------------------------------------------------------------------------------

    def _dispatches(self, lease: Lease, report: SweepReport) -> None:
        view = self._watch.broker()
        if view.reachable and view.losses != self._losses_seen:
            log.warning("broker_data_gone", losses=view.losses)
            report.broker_losses = view.losses - self._losses_seen
            self._again(lease, self._storage.sweeps.unclaimed(), report)
            self._losses_seen = view.losses
            self._inherited = []
            return
        if view.reachable and self._inherited:
            self._again(lease, self._inherited, report)
            self._inherited = []
            return
        overdue = self._storage.sweeps.overdue()
        report.overdue = len(overdue)
        if overdue:
            self._watch.ask(sorted({u.dispatch.queue for u in overdue}))
            self._again(lease, self._missing(overdue, view), report)

    def _missing(self, overdue: Sequence[Unclaimed], view: BrokerView) -> list[Unclaimed]:
        """Return, of each queue that is short, the oldest as many as its depth does not explain."""
        unclaimed: Counter[str] = Counter()
        for part in self._storage.sweeps.occupancy():
            if part.state == "dispatched":
                unclaimed[part.queue] += part.count
        served = {q for w in self._capacity.workers(self._storage) for q in w.queues}
        of_queue: dict[str, list[Unclaimed]] = defaultdict(list)
        for entry in overdue:
            of_queue[entry.dispatch.queue].append(entry)
        missing: list[Unclaimed] = []
        for queue, entries in of_queue.items():
            depth = view.depths.get(queue)
            if depth is None or queue not in served or not view.reachable:
                continue  # not known yet, or nobody there to hear the bell
            missing += entries[: max(0, unclaimed[queue] - depth)]
        return missing

    def _again(self, lease: Lease, entries: Sequence[Unclaimed], report: SweepReport) -> None:
        if not entries:
            return
        known = {e.dispatch.attempt: e.dispatch for e in entries}
        waits = [
            exponential(e.dispatch.dispatch_no + 1, base=self._claim_within, cap=_LONGEST_WAIT)
            for e in entries
        ]
        numbers = [(e.dispatch.attempt, e.dispatch.dispatch_no) for e in entries]
        with self._storage.advancing(lease) as transaction:
            moved = transaction.redispatch(numbers, waits)
        report.redispatched += len(moved)
        self._doorbell.publish(
            [known[a].model_copy(update={"dispatch_no": known[a].dispatch_no + 1}) for a in moved]
        )
        log.info("dispatched_again", count=len(moved))

    def stranded(self) -> list[str]:
        """Return runs whose steps wait for attempts that are not live; looks now and then."""
        now = self._clock.monotonic()
        if now - self._stranded_at < _STRANDED_EVERY_S:
            return []
        self._stranded_at = now
        return self._storage.sweeps.stranded()

    # --- attempts --------------------------------------------------------------------------------

    def _dead(self, report: SweepReport) -> list[Incoming]:
        """Return expired attempts as lost, unless an outage may be why they were not renewed."""
        found = self._storage.sweeps.expired()
        healthy = min(
            timedelta(seconds=self._clock.monotonic() - self._database_since),
            self._watch.api_healthy_for(),
        )
        report.amnesty = healthy < self._lease
        lost = [e for e in found if e.reaped or not report.amnesty]
        report.lost = len(lost)
        return [
            Incoming(
                e.run,
                Finished(
                    e.attempt,
                    e.fence,
                    "lost",
                    reason="worker_restarted" if e.reaped else "lease_expired",
                    error={"code": "infra_lost", "message": _why(e.reaped)},
                    expired=True,
                ),
            )
            for e in lost
        ]


def _why(reaped: bool) -> str:
    if reaped:
        return "the worker was restarted and ended what its earlier process had left"
    return "the worker was not heard of for a whole lease"
