"""Contract of what happens at once: rows decide, nobody waits in a circle, nothing is half done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from sqlalchemy import create_engine, text

from headway.protocol.messages import LostReason
from headway_coordinator.application.ports import StorageUnavailable
from headway_coordinator.engine.model import AttemptMade, StopAttempts
from tests.contract.test_leases import wait_until_somebody_waits
from tests.contract.world import MINUTE, World, ended, settle, state

T = TypeVar("T")


def together(*calls: Callable[[], T]) -> list[T]:
    """Start the calls at the same moment and return what each returned."""
    barrier = threading.Barrier(len(calls))

    def start(call: Callable[[], T]) -> T:
        barrier.wait(10)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(start, calls))


def dispatched(world: World, count: int) -> list[AttemptMade]:
    world.create(state("r1", [f"s{n}" for n in range(count)]))
    return [world.dispatched("r1", f"s{n}") for n in range(count)]


def test_each_attempt_is_won_by_one_of_many_workers(world: World) -> None:
    made = dispatched(world, 12)
    workers = [f"w{n}" for n in range(4)]
    for name in workers:
        world.register(name, "b1")

    def claim(name: str, order: Sequence[AttemptMade]) -> list[str]:
        results = world.claim(order, worker=name) or []
        assert {r.reason for r in results} <= {None, LostReason.RUNNING}
        return [r.attempt for r in results if r.work is not None]

    orders = [made, made[::-1], made[5:] + made[:5], made[::2] + made[1::2]]
    won = together(*((lambda n=n, o=o: claim(n, o)) for n, o in zip(workers, orders, strict=True)))
    assert sorted(attempt for batch in won for attempt in batch) == sorted(m.attempt for m in made)


def test_either_the_claim_or_the_stop_gets_an_attempt(world: World) -> None:
    made = dispatched(world, 12)
    world.register()

    def stop() -> set[str]:
        attempts = tuple(m.attempt for m in reversed(made))
        with world.storage.advancing(world.lease) as tx:
            stopped = tx.stop_attempts([StopAttempts("r1", attempts, "cancelled", True)])
        return {w.attempt for w in stopped}

    def claim() -> set[str]:
        return {r.attempt for r in world.claim(made) or [] if r.work is not None}

    withdrawn, won = together(stop, claim)
    assert withdrawn | won == {m.attempt for m in made}
    assert withdrawn & won == set()
    held = [m for m in made if m.attempt in won]
    assert set(world.beat(running=held).cancel) == won


def test_batches_in_opposite_orders_do_not_block_each_other(world: World) -> None:
    made = dispatched(world, 12)
    world.register()
    world.claim(made)

    def end() -> None:
        with world.storage.advancing(world.lease) as tx:
            for one in made[::-1]:
                tx.end_attempts([ended(one)])

    def beat() -> None:
        for _ in range(6):
            result = world.beat(running=made)
            assert len(result.renewed) + len(result.lost) == len(made)

    together(end, beat)
    assert world.beat(running=made).lost == [m.attempt for m in made]


def test_the_same_entry_is_added_by_one_of_many(world: World) -> None:
    def add() -> tuple[int, bool]:
        entry, new = world.storage.inbox.add(
            run="r1", kind="retry", dedupe="d1", actor="ann", body={}
        )
        return entry.id, new

    results = together(*[add] * 4)
    assert sum(new for _, new in results) == 1
    assert len({id for id, _ in results}) == 1


def test_versions_are_given_one_by_one(world: World) -> None:
    canonical = {"team": "analytics", "pipeline": "daily", "owner": "ann"}

    def put(digest: str) -> tuple[int, bool]:
        return world.storage.definitions.put(
            canonical=canonical, digest=digest, source="", actor="ann"
        )

    results = together(*((lambda d=d: put(d)) for d in "abcd"))
    assert sorted(results) == [(n, True) for n in (1, 2, 3, 4)]


# --- locks of PostgreSQL -------------------------------------------------------------------------


def waits_for(world: World, url: str, call: Callable[[], T], inside: Callable[[Any], None]) -> T:
    """Return what `call` gives after it had to wait for the open advancing transaction."""
    with ThreadPoolExecutor(1) as pool:
        future: Future[T]
        with world.storage.advancing(world.lease) as tx:
            inside(tx)
            settle(tx)
            future = pool.submit(call)
            wait_until_somebody_waits(url)
            assert not future.done()
        return future.result(10)


def test_a_claim_waits_for_a_stop_and_then_hears_of_it(
    postgres_world: World, postgres_url: str
) -> None:
    world = postgres_world
    first, second = dispatched(world, 2)
    world.register()
    results = waits_for(
        world,
        postgres_url,
        lambda: world.claim([second, first]) or [],
        lambda tx: tx.stop_attempts([StopAttempts("r1", (first.attempt,), "cancelled", True)]),
    )
    assert [r.reason for r in results] == [None, LostReason.CANCELLED]


def test_a_claim_waits_for_a_redispatch_and_then_wins(
    postgres_world: World, postgres_url: str
) -> None:
    world = postgres_world
    made = world.dispatched()
    world.register()
    results = waits_for(
        world,
        postgres_url,
        lambda: world.claim([made]) or [],
        lambda tx: tx.redispatch([(made.attempt, 1)], [MINUTE]),
    )
    assert [r.reason for r in results] == [None]


def test_a_heartbeat_waits_for_the_end_of_its_attempt_and_acknowledges(
    postgres_world: World, postgres_url: str
) -> None:
    world = postgres_world
    first, second = dispatched(world, 2)
    world.register()
    world.claim([first, second])
    result = waits_for(
        world,
        postgres_url,
        lambda: world.beat(finished=[first], running=[second]),
        lambda tx: tx.end_attempts([ended(first)]),
    )
    assert (result.acknowledged, result.renewed) == ([first.attempt], [second.attempt])


def test_a_new_boot_waits_for_the_claim_of_the_old_one(
    postgres_world: World, postgres_url: str
) -> None:
    """Whatever the old boot won is committed before the new one is told that it is registered."""
    world = postgres_world
    world.register("w1", "b1")
    engine = create_engine(postgres_url)
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as claiming:
            claiming.execute(text("SELECT 1 FROM worker WHERE boot = 'b1' FOR KEY SHARE"))
            registered = pool.submit(world.register, "w1", "b2")
            wait_until_somebody_waits(postgres_url)
            assert not registered.done()
            assert not world.beat(boot="b1").superseded
        registered.result(10)
    engine.dispose()
    assert world.beat(boot="b1").superseded


def test_a_connection_that_is_cut_is_unavailable_and_then_replaced(
    postgres_world: World, postgres_url: str
) -> None:
    engine = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    others = text(
        "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    world = postgres_world

    def advance() -> None:
        with world.storage.advancing(world.lease) as tx, engine.connect() as connection:
            connection.execute(others)
            tx.create_runs([state("r1")])

    with pytest.raises(StorageUnavailable):
        advance()
    engine.dispose()
    world.create(state("r2"))
    assert world.storage.runs.open_ids() == ["r2"]
