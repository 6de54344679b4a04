"""What people ask of runs, as both databases keep it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from headway_coordinator.application.ports import InboxKind
from headway_coordinator.engine.model import Paused, RunMoved
from headway_coordinator.engine.states import RunStatus
from headway_coordinator.storage import migrating
from headway_coordinator.storage.opening import open_storage
from tests.contract.world import NOW, World, state


def test_who_paused_a_run_is_kept_and_shown(world: World) -> None:
    world.create(state("r1"))
    before = world.load("r1").run
    held = Paused(NOW, "ann", "the source is down")
    after = replace(before, status=RunStatus.PAUSED, paused=held)
    with world.storage.advancing(world.lease) as transaction:
        transaction.move_runs([RunMoved(before, after)])
    assert world.load("r1").run == after
    shown = world.storage.queries.run("r1")
    assert shown is not None
    assert shown["paused"] == {"at": NOW.isoformat(), "by": "ann", "reason": "the source is down"}
    with world.storage.advancing(world.lease) as transaction:
        transaction.move_runs([RunMoved(after, before)])
    assert world.load("r1").run == before


@pytest.mark.parametrize("kind", ["clear", "mark", "pause", "resume"])
def test_every_request_is_taken_once_and_shown_with_the_run(world: World, kind: InboxKind) -> None:
    world.create(state("r1"))
    body = {"steps": ["load"], "reason": "so it is"}
    first, is_new = world.storage.inbox.add(
        run="r1", kind=kind, dedupe=f"{kind}:r1:k", actor="ann", body=body
    )
    again, is_new_again = world.storage.inbox.add(
        run="r1", kind=kind, dedupe=f"{kind}:r1:k", actor="bob", body=body
    )
    assert (is_new, is_new_again, again) == (True, False, first)
    with world.storage.advancing(world.lease) as transaction:
        transaction.mark_applied([(first.id, "not now")])
    shown = world.storage.queries.run("r1")
    assert shown is not None
    [asked] = shown["requests"]
    assert (asked["kind"], asked["actor"], asked["reason"], asked["result"]) == (
        kind,
        "ann",
        "so it is",
        "not now",
    )


def test_an_older_inbox_keeps_its_rows_and_its_numbers_go_on(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    config = migrating._config()
    row = "INSERT INTO inbox (run, kind, dedupe, actor, body, created_at) VALUES "
    with migrating._connected(url, write=True) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
        for name in ("a", "b", "c"):
            values = (
                f"('r1', 'cancel', '{name}', 'ann', '{{}}', '2026-03-01T06:00:00.000000+00:00')"
            )
            connection.execute(text(row + values))
        connection.execute(text("DELETE FROM inbox WHERE dedupe = 'c'"))
    migrating.upgrade(url)
    storage = open_storage(url)
    assert [(e.id, e.dedupe) for e in storage.inbox.pending()] == [(1, "a"), (2, "b")]
    entry, _ = storage.inbox.add(run="r1", kind="pause", dedupe="d", actor="ann", body={})
    assert entry.id == 4
    storage.close()
