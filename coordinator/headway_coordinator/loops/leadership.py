"""Takes, renews and gives back the lease, on a connection and a thread of its own.

Nothing that advances runs can delay a renewal. The hold is trusted locally for less than the
database grants: the monotonic clock is read before a renewal is sent, and a margin is taken off.
"""

from __future__ import annotations

import threading
from datetime import timedelta

import structlog

from headway.clock import Clock
from headway_coordinator.application.ports import Lease, Leases, StorageUnavailable

log = structlog.get_logger("headway.leadership")

LEASE_NAME = "advance/0"
_CAMPAIGN_EVERY_S = 1.0
_COMPLAIN_EVERY_S = 60.0


class Leadership:
    """The duty that leads or waits to lead. `hold()` may be read from any thread."""

    name = "leadership"

    def __init__(
        self, *, leases: Leases, clock: Clock, holder: str, boot: str, term: timedelta
    ) -> None:
        self._leases = leases
        self._clock = clock
        self._holder = holder
        self._boot = boot
        self._term = term
        self._margin_s = min(2.0, term.total_seconds() / 4)
        self._lease: Lease | None = None
        self._trusted_until = 0.0
        self._complained = ("", 0.0)
        self.changed = threading.Event()
        self.gained = 0
        self.lost = 0

    def hold(self) -> Lease | None:
        """Return the lease, if it is held and can still be trusted."""
        lease = self._lease
        return (
            lease if lease is not None and self._clock.monotonic() < self._trusted_until else None
        )

    def tick(self) -> float:
        if self._lease is None:
            self._campaign()
        else:
            self._renew(self._lease)
        return self._pause()

    def resign(self) -> None:
        """Give the lease back, so that another coordinator leads within its next campaign."""
        lease, self._lease = self._lease, None
        if lease is None:
            return
        self._step_down("resigned", lease)
        try:
            self._leases.release(lease)
        except StorageUnavailable as error:
            log.warning("lease_not_released", reason=error.message)

    def drop(self, lease: Lease) -> None:
        """Forget a hold that a transaction found gone."""
        if self._lease is lease:
            self._step_down("fenced", lease)

    def _campaign(self) -> None:
        sent = self._clock.monotonic()
        try:
            lease = self._leases.acquire(
                LEASE_NAME, holder=self._holder, boot=self._boot, term=self._term
            )
        except StorageUnavailable as error:
            self._complain(error.message)
            return
        self._complained = ("", 0.0)
        if lease is None:
            return
        self._trust(lease, sent)
        self.gained += 1
        log.info("leadership_gained", lease=lease.name, epoch=lease.epoch, holder=lease.holder)
        self.changed.set()

    def _complain(self, reason: str) -> None:
        """Log why there is no campaign: when that changes, and once a minute."""
        now = self._clock.monotonic()
        said, at = self._complained
        if reason != said or now - at >= _COMPLAIN_EVERY_S:
            log.warning("campaign_failed", reason=reason)
            self._complained = (reason, now)

    def _renew(self, lease: Lease) -> None:
        sent = self._clock.monotonic()
        try:
            renewed = self._leases.renew(lease, self._term)
        except StorageUnavailable as error:
            log.warning("renewal_failed", reason=error.message)
            if self._clock.monotonic() >= self._trusted_until:
                self._step_down("renewal failed", lease)
            return
        if self._lease is None:
            return  # resigned meanwhile
        if renewed is None:
            self._step_down("taken over", lease)
        else:
            self._trust(renewed, sent)

    def _trust(self, lease: Lease, sent: float) -> None:
        self._trusted_until = sent + self._term.total_seconds() - self._margin_s
        self._lease = lease

    def _step_down(self, why: str, lease: Lease) -> None:
        self._lease = None
        self._trusted_until = 0.0
        self.lost += 1
        log.info("leadership_lost", lease=lease.name, epoch=lease.epoch, reason=why)
        self.changed.set()

    def _pause(self) -> float:
        if self._lease is None:
            return min(_CAMPAIGN_EVERY_S, self._term.total_seconds() / 3)
        # A failed renewal is tried again soon: a third of the term may be all that is left.
        left = self._trusted_until - self._clock.monotonic()
        return max(0.05, min(self._term.total_seconds() / 3, left / 2))
