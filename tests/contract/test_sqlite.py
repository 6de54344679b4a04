"""What is SQLite's own: one writer, waited for; one coordinator, by a lock file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.event import listen, remove

from headway.errors import DefinitionError, UnavailableError
from headway_coordinator.application.ports import Storage, StorageUnavailable
from headway_coordinator.storage import sqlite
from headway_coordinator.storage.exclusive import exclusive
from headway_coordinator.storage.opening import open_storage
from tests.contract.deciders import Deciders, event_trigger
from tests.contract.world import MINUTE, World, state


def test_a_writer_waits_for_another_process_and_readers_do_not(
    sqlite_url: str, opened: Callable[[str], Storage]
) -> None:
    world, other = World(opened(sqlite_url)), opened(sqlite_url)
    with ThreadPoolExecutor(1) as pool:
        with world.storage.advancing(world.lease) as tx:
            tx.create_runs([state("r1")])
            waiting = pool.submit(other.access.add_team, "growth", "ann")
            assert other.runs.open_ids() == []
            assert not waiting.done()
        assert waiting.result(10)
    assert other.runs.open_ids() == ["r1"]


def test_a_lock_that_is_never_given_is_unavailable(
    sqlite_url: str, opened: Callable[[str], Storage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LOCK_WAIT_SECONDS", 0.01)
    world, other = World(opened(sqlite_url)), opened(sqlite_url)
    with world.storage.advancing(world.lease), pytest.raises(StorageUnavailable):
        other.access.add_team("growth", "ann")
    assert other.access.add_team("growth", "ann")


def test_every_connection_is_set_up(sqlite_url: str, opened: Callable[[str], Storage]) -> None:
    database = opened(sqlite_url)._database  # type: ignore[attr-defined]
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    for connect in (database.transaction, database.prompt, database.reading):
        with connect() as connection:
            for name, value in wanted.items():
                assert connection.exec_driver_sql(f"PRAGMA {name}").scalar() == value
    with pytest.raises(StorageUnavailable), database.reading() as connection:
        connection.exec_driver_sql("DELETE FROM team")


def test_a_full_or_broken_file_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "no.db"
    path.write_bytes(b"this is no database at all, whatever its name says" * 100)
    storage = open_storage(f"sqlite:///{path}")
    with pytest.raises(StorageUnavailable):
        storage.leases.acquire("advance/0", holder="a", boot="b", term=MINUTE)
    storage.close()


def test_the_clock_is_a_parameter_and_times_compare_as_text(
    sqlite_url: str, opened: Callable[[str], Storage]
) -> None:
    world = World(opened(sqlite_url))
    world.dispatched()
    path = sqlite_url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        [(length,)] = connection.execute("SELECT DISTINCT length(dispatched_at) FROM attempt")
    connection.close()
    assert length == len("2026-03-01T06:00:00.000000+00:00")


def test_a_second_coordinator_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/headway.db"
    with exclusive(url):
        with pytest.raises(UnavailableError) as refused, exclusive(url):
            pass
        assert refused.value.code == "database_in_use"
        assert "PostgreSQL" in (refused.value.hint or "")
    with exclusive(url):
        pass
    with exclusive("postgresql://h/d"), exclusive("postgresql://h/d"):
        pass


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://h/d", "nonsense", ""])
def test_what_is_no_database_of_ours_is_the_users_mistake(url: str) -> None:
    with pytest.raises(DefinitionError):
        open_storage(url)


def test_what_is_decided_is_looked_up_one_by_one(
    sqlite_url: str, opened: Callable[[str], Storage]
) -> None:
    """A plan that reads the given events for each row takes a minute for ten thousand of them."""
    deciders = Deciders(World(opened(sqlite_url)))
    deciders.define(event_trigger(batch={"size": 3, "within": 60}))
    updates: list[tuple[str, Any]] = []

    def heard(_connection: Any, _cursor: Any, statement: str, given: Any, *_: Any) -> None:
        if statement.startswith("UPDATE"):
            updates.append((statement, given))

    listen(Engine, "before_cursor_execute", heard)
    try:
        deciders.send(*(deciders.event() for _ in range(3)))
        deciders.decide()
        assert deciders.decider.fire(deciders.world.lease)[0].runs == 1
    finally:
        remove(Engine, "before_cursor_execute", heard)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as connection:
        plans = {
            statement.split()[1]: [
                row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", given)
            ]
            for statement, given in updates
        }
    assert plans.keys() == {"event", "decision"}
    for table, plan in plans.items():
        assert plan[0].startswith("SCAN each VIRTUAL TABLE"), plan
        assert plan[1].startswith(f"SEARCH {table} USING INDEX sqlite_autoindex_{table}_1"), plan
