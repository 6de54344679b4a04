"""The migrated schema is the one that the code means, and guards itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, exc, text

from headway_coordinator.application.ports import StorageUnavailable
from headway_coordinator.storage.migrating import current_revision, newest_revision, upgrade
from headway_coordinator.storage.opening import open_storage
from headway_coordinator.storage.schema import metadata
from tests.contract.world import World

_POSTGRES_CHECKS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
    UNION ALL SELECT tablename, indexname, indexdef FROM pg_indexes
    WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    UNION ALL SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger
    WHERE NOT tgisinternal
    UNION ALL SELECT oid::regclass::text, 'options', reloptions::text FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL
"""
_SQLITE_CHECKS = """
    SELECT tbl_name, name, sql FROM sqlite_master
    WHERE tbl_name NOT IN ('alembic_version', 'sqlite_sequence')
"""


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


def described(connection: Connection) -> dict[tuple[str, str], list[str]]:
    """Return every constraint, index, trigger and option as text, parts of tables in any order."""
    query = _POSTGRES_CHECKS if connection.dialect.name == "postgresql" else _SQLITE_CHECKS
    rows: Any = connection.execute(text(query))
    return {(table, name): _parts(sql or "") for table, name, sql in rows}


def _parts(sql: str) -> list[str]:
    # SQLite keeps the text of CREATE TABLE, and writes the columns that were added later behind it.
    parts = re.split(r",\n|\n|, (?=[a-z_]+ [A-Z])", sql.removesuffix(")"))
    return sorted(filter(None, (part.strip(", \t") for part in parts)))


def test_the_migrations_make_what_the_tables_say(engine: Engine) -> None:
    with engine.connect() as connection:
        migrated = described(connection)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        connection.rollback()
    with engine.begin() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
        made = described(connection)
        if engine.dialect.name == "postgresql":
            connection.rollback()
    assert migrated == made
    assert len(made) > 30


def test_an_upgraded_database_is_at_the_newest_revision(url: str) -> None:
    assert current_revision(url) == newest_revision() == upgrade(url)


def test_an_upgrade_may_take_its_time(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits of requests would end it amid a large table, or on a busy machine."""
    found: list[str] = []

    def look(config: Any, _revision: str) -> None:
        connection: Connection = config.attributes["connection"]
        for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
            found.append(connection.execute(text(f"SHOW {limit}")).scalar_one())

    monkeypatch.setattr(command, "upgrade", look)
    upgrade(postgres_url)
    assert found == ["0", "0"]


def test_a_new_database_has_no_revision_and_says_what_to_do(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    assert current_revision(url) is None
    storage = open_storage(url)
    with pytest.raises(StorageUnavailable, match="headway db upgrade"):
        storage.runs.open_ids()
    storage.close()
    assert upgrade(url) == newest_revision()


@pytest.mark.parametrize(
    "change",
    [
        "state = 'running'",
        "state = 'failed'",
        "fence = fence - 1",
    ],
)
def test_an_ended_attempt_and_a_fence_are_guarded(
    world: World, engine: Engine, change: str
) -> None:
    made = world.running()
    world.end(made)
    statement = text(f"UPDATE attempt SET {change} WHERE id = '{made.attempt}'")
    with pytest.raises(exc.IntegrityError), engine.begin() as connection:
        connection.execute(statement)
    assert world.state_of(made) == "succeeded"


@pytest.mark.parametrize("table", ["run", "step", "attempt"])
def test_an_unknown_state_is_refused(world: World, engine: Engine, table: str) -> None:
    world.running()
    with pytest.raises(exc.IntegrityError), engine.begin() as connection:
        connection.execute(text(f"UPDATE {table} SET state = 'odd'"))
