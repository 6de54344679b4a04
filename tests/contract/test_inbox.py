"""Contract of the inbox: nothing accepted is missed or taken twice."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import create_engine, text

from headway_coordinator.application.ports import InboxEntry, PreconditionFailed
from tests.contract.world import World


def add(world: World, dedupe: str, **fields: Any) -> tuple[InboxEntry, bool]:
    given = {"run": "r1", "kind": "cancel", "actor": "ann", "body": {"z": 1, "a": [2]}, **fields}
    return world.storage.inbox.add(dedupe=dedupe, **given)


def test_an_entry_is_pending_until_it_is_applied(world: World) -> None:
    entry, new = add(world, "d1")
    assert new
    assert world.storage.inbox.pending() == [entry]
    assert (entry.run, entry.kind, entry.actor, entry.dedupe) == ("r1", "cancel", "ann", "d1")
    assert list(entry.body.items()) == [("z", 1), ("a", [2])]
    with world.storage.advancing(world.lease) as tx:
        tx.mark_applied([(entry.id, "applied")])
        now = tx.now
    assert world.storage.inbox.pending() == []
    there, new = add(world, "d1")
    assert not new
    assert (there.id, there.applied_at, there.result) == (entry.id, now, "applied")


def test_a_repetition_returns_the_first_entry(world: World) -> None:
    first, _ = add(world, "d1")
    again, new = add(world, "d1", run="r2", kind="retry", body={})
    assert (again, new) == (first, False)


def test_an_entry_is_applied_once(world: World) -> None:
    first, second = add(world, "d1")[0], add(world, "d2")[0]
    with world.storage.advancing(world.lease) as tx:
        tx.mark_applied([(first.id, "applied")])
    with pytest.raises(PreconditionFailed), world.storage.advancing(world.lease) as tx:
        tx.mark_applied([(first.id, "again"), (second.id, "applied")])
    assert world.storage.inbox.pending() == [second]


def test_many_are_added_in_order_and_known_ones_are_left(world: World) -> None:
    add(world, "d2")
    inbox = world.storage.inbox
    inbox.add_many([("r1", "completion", f"d{n}", "w1", {"n": n}) for n in range(4)])
    inbox.add_many([("r1", "completion", "d3", "w1", {}), ("r1", "retry", "d9", "ann", {})])
    inbox.add_many([])
    assert [e.dedupe for e in inbox.pending()] == ["d2", "d0", "d1", "d3", "d9"]
    assert [e.dedupe for e in inbox.pending(limit=2)] == ["d2", "d0"]


def test_the_same_twice_in_one_call_is_added_once(world: World) -> None:
    world.storage.inbox.add_many([("r1", "retry", "d1", "ann", {"n": n}) for n in (1, 2)])
    assert [e.body for e in world.storage.inbox.pending()] == [{"n": 1}]


def test_an_entry_that_commits_after_a_later_one_is_not_missed(
    postgres_world: World, postgres_url: str
) -> None:
    inbox = postgres_world.storage.inbox
    engine = create_engine(postgres_url)
    slow = text(
        "INSERT INTO inbox (run, kind, dedupe, actor, body, created_at)"
        " VALUES ('r1', 'cancel', 'slow', 'ann', '{}', clock_timestamp()) RETURNING id"
    )
    with engine.begin() as connection:
        early = connection.execute(slow).scalar()
        late, _ = add(postgres_world, "fast")
        assert early is not None
        assert early < late.id
        with postgres_world.storage.advancing(postgres_world.lease) as tx:
            tx.mark_applied([(e.id, "applied") for e in inbox.pending()])
    engine.dispose()
    assert [e.id for e in inbox.pending()] == [early]
