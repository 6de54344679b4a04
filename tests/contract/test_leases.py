"""Contract of leadership: one holder, growing epochs, and a fence that holds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import create_engine, make_url, text

from headway_coordinator.application.ports import Lease, LeaseLost, Storage, StorageUnavailable
from headway_coordinator.storage import leasing
from tests.contract.world import GONE, MINUTE, World, settle, state


def test_a_held_lease_is_not_given_to_another(world: World) -> None:
    leases = world.storage.leases
    assert leases.acquire("advance/0", holder="other", boot="b9", term=MINUTE) is None
    assert leases.current("advance/0") == world.lease
    assert leases.current("advance/1") is None


def test_an_expired_lease_goes_on_with_the_next_epoch(world: World) -> None:
    leases = world.storage.leases
    assert leases.renew(world.lease, GONE) is not None
    taken = leases.acquire("advance/0", holder="other", boot="b9", term=MINUTE)
    assert taken is not None
    assert (taken.epoch, taken.holder, taken.boot) == (world.lease.epoch + 1, "other", "b9")
    assert leases.renew(world.lease, MINUTE) is None


def test_a_released_lease_is_free_at_once_and_only_its_hold_releases_it(world: World) -> None:
    leases = world.storage.leases
    leases.release(replace(world.lease, epoch=world.lease.epoch + 1))
    assert leases.acquire("advance/0", holder="other", boot="b9", term=MINUTE) is None
    leases.release(world.lease)
    assert leases.acquire("advance/0", holder="other", boot="b9", term=MINUTE) is not None


def test_the_same_boot_may_take_its_lease_again_in_a_new_epoch(world: World) -> None:
    """Its first answer may have been lost on the way."""
    again = world.storage.leases.acquire("advance/0", holder="leader", boot="b1", term=MINUTE)
    assert again is not None
    assert again.epoch == world.lease.epoch + 1
    with pytest.raises(LeaseLost), world.storage.advancing(world.lease):
        pass


@pytest.mark.parametrize(
    "changed", [{"epoch": 2}, {"holder": "other"}, {"boot": "b0"}, {"name": "advance/1"}]
)
def test_every_part_of_the_hold_is_checked(world: World, changed: dict[str, object]) -> None:
    stale: Lease = replace(world.lease, **changed)  # type: ignore[arg-type]
    with pytest.raises(LeaseLost), world.storage.advancing(stale) as transaction:
        transaction.create_runs([state("r1")])
    assert world.storage.leases.renew(stale, MINUTE) is None
    assert world.storage.runs.load(["r1"]) == []


def test_a_stale_leader_writes_nothing(world: World) -> None:
    world.storage.leases.release(world.lease)
    world.storage.leases.acquire("advance/0", holder="other", boot="b9", term=MINUTE)
    with pytest.raises(LeaseLost):
        world.create(state("r1"))
    assert world.storage.runs.load(["r1"]) == []


def test_of_many_that_ask_at_once_one_gets_it(url: str, opened: Callable[[str], Storage]) -> None:
    storages = [opened(url) for _ in range(4)]
    together = threading.Barrier(len(storages))

    def acquire(number: int) -> Lease | None:
        together.wait(10)
        return storages[number].leases.acquire(
            "advance/0", holder=f"c{number}", boot="b", term=MINUTE
        )

    with ThreadPoolExecutor(len(storages)) as pool:
        taken = [lease for lease in pool.map(acquire, range(len(storages))) if lease]
    assert [lease.epoch for lease in taken] == [1]


def test_a_takeover_waits_for_an_open_advancing_transaction(
    postgres_world: World, postgres_url: str, opened: Callable[[str], Storage]
) -> None:
    world, rival = postgres_world, opened(postgres_url)
    with ThreadPoolExecutor(1) as pool:
        with world.storage.advancing(world.lease) as transaction:
            settle(transaction)  # the lease row is held
            world.storage.leases.release(world.lease)
            takeover = pool.submit(
                rival.leases.acquire, "advance/0", holder="rival", boot="b9", term=MINUTE
            )
            wait_until_somebody_waits(postgres_url)
            assert not takeover.done()
            transaction.create_runs([state("r1")])
        taken = takeover.result(10)
    assert taken is not None
    assert taken.epoch == world.lease.epoch + 1
    assert world.storage.runs.open_ids() == ["r1"]
    with pytest.raises(LeaseLost):
        world.create(state("r2"))


def test_a_transaction_that_is_stuck_is_ended_when_its_lease_is_over(
    postgres_world: World,
    postgres_url: str,
    opened: Callable[[str], Storage],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its statements came without the Sync that ends them: so stands a leader that was stopped
    while it sent many, and PostgreSQL does not take it for idle."""
    monkeypatch.setattr(leasing, "STUCK_AFTER", timedelta())
    rival = opened(postgres_url).leases
    url = make_url(postgres_url).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as stuck:
        server = stuck.pgconn
        server.enter_pipeline_mode()
        server.send_query_params(b"BEGIN", None)
        server.send_query_params(b"SELECT 1 FROM lease FOR KEY SHARE", None)
        server.send_flush_request()
        server.flush()
        while server.is_busy():
            server.consume_input()
        assert rival.acquire("advance/0", holder="rival", boot="b9", term=MINUTE) is None
        postgres_world.storage.leases.release(postgres_world.lease)
        with pytest.raises(StorageUnavailable):
            rival.acquire("advance/0", holder="rival", boot="b9", term=MINUTE)
        taken = rival.acquire("advance/0", holder="rival", boot="b9", term=MINUTE)
        assert taken is not None
        assert taken.holder == "rival"
        stuck.close()


def test_neither_renewal_nor_a_rival_that_asks_waits_for_the_open_transaction(
    postgres_world: World, postgres_url: str, opened: Callable[[str], Storage]
) -> None:
    rival = opened(postgres_url).leases
    with postgres_world.storage.advancing(postgres_world.lease) as transaction:
        settle(transaction)  # the lease row is held
        renewed = postgres_world.storage.leases.renew(postgres_world.lease, MINUTE)
        assert renewed is not None
        assert rival.acquire("advance/0", holder="rival", boot="b9", term=MINUTE) is None


def wait_until_somebody_waits(url: str) -> None:
    """Return once a connection of this database waits for a lock."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    try:
        with engine.connect() as connection:
            while not connection.execute(waiting).scalar():
                pass
    finally:
        engine.dispose()
