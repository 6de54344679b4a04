"""The lease as a duty: campaign, renew, step down early, hand over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from headway.clock import ManualClock
from headway_coordinator.application.ports import Lease, StorageUnavailable
from headway_coordinator.loops.leadership import Leadership

TERM = timedelta(seconds=9)


class OneLease:
    """A lease row on the same manual clock; can be cut off."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.row: Lease | None = None
        self.away = False
        self.renewals = 0

    def acquire(self, name: str, *, holder: str, boot: str, term: timedelta) -> Lease | None:
        self._reach()
        if self.row is not None and self.row.expires_at > self.clock.now():
            return None
        epoch = 1 + (self.row.epoch if self.row else 0)
        self.row = Lease(name, epoch, holder, boot, self.clock.now() + term)
        return self.row

    def renew(self, lease: Lease, term: timedelta) -> Lease | None:
        self._reach()
        self.renewals += 1
        if self.row is None or (self.row.epoch, self.row.boot) != (lease.epoch, lease.boot):
            return None
        self.row = Lease(lease.name, lease.epoch, lease.holder, lease.boot, self.clock.now() + term)
        return self.row

    def release(self, lease: Lease) -> None:
        self._reach()
        if self.row is not None and self.row.epoch == lease.epoch:
            self.row = Lease(lease.name, lease.epoch, lease.holder, lease.boot, self.clock.now())

    def current(self, name: str) -> Lease | None:
        return self.row

    def _reach(self) -> None:
        if self.away:
            raise StorageUnavailable("cut off")


def make() -> tuple[ManualClock, OneLease]:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    return clock, OneLease(clock)


def coordinator(name: str, clock: ManualClock, leases: OneLease) -> Leadership:
    return Leadership(leases=leases, clock=clock, holder=name, boot=f"boot-{name}", term=TERM)


def test_the_first_to_campaign_leads_and_the_second_waits() -> None:
    clock, leases = make()
    a, b = coordinator("a", clock, leases), coordinator("b", clock, leases)
    a.tick()
    b.tick()
    assert a.hold() is not None
    assert b.hold() is None


def test_a_renewing_leader_stays_for_ever() -> None:
    clock, leases = make()
    a = coordinator("a", clock, leases)
    a.tick()
    for _ in range(50):
        clock.advance(timedelta(seconds=3))
        a.tick()
    assert a.hold() is not None
    assert leases.renewals == 50


def test_the_hold_ends_locally_before_the_database_gives_it_away() -> None:
    clock, leases = make()
    a = coordinator("a", clock, leases)
    a.tick()
    leases.away = True
    clock.advance(timedelta(seconds=6.9))
    assert a.hold() is not None
    clock.advance(timedelta(seconds=0.2))
    assert a.hold() is None
    assert leases.row is not None
    assert leases.row.expires_at > clock.now()


def test_a_hold_that_expired_while_the_database_was_away_is_given_up() -> None:
    clock, leases = make()
    a = coordinator("a", clock, leases)
    a.tick()
    leases.away = True
    clock.advance(timedelta(seconds=8))
    a.tick()
    assert a.lost == 1
    leases.away = False
    clock.advance(timedelta(seconds=2))
    a.tick()
    hold = a.hold()
    assert hold is not None
    assert hold.epoch == 2


def test_a_leader_that_was_taken_over_steps_down() -> None:
    clock, leases = make()
    a, b = coordinator("a", clock, leases), coordinator("b", clock, leases)
    a.tick()
    clock.advance(timedelta(seconds=10))
    b.tick()
    a.tick()
    assert a.hold() is None
    assert b.hold() is not None
    assert leases.row is not None
    assert leases.row.epoch == 2


def test_resigning_lets_another_lead_at_its_next_campaign() -> None:
    clock, leases = make()
    a, b = coordinator("a", clock, leases), coordinator("b", clock, leases)
    a.tick()
    a.resign()
    b.tick()
    assert a.hold() is None
    assert b.hold() is not None


def test_a_fenced_hold_is_dropped_only_if_it_is_the_present_one() -> None:
    clock, leases = make()
    a = coordinator("a", clock, leases)
    a.tick()
    old = a.hold()
    assert old is not None
    clock.advance(timedelta(seconds=3))
    a.tick()
    a.drop(old)
    assert a.hold() is not None
    present = a.hold()
    assert present is not None
    a.drop(present)
    assert a.hold() is None
