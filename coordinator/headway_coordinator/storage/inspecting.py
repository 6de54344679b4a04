"""What the database server is and how it is set, read over connections of its own."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from headway.clock import Clock
from headway.folders import look_at
from headway_coordinator.application.facts import DatabaseFacts
from headway_coordinator.application.ports import StorageUnavailable
from headway_coordinator.storage.connecting import connect, parse_url
from headway_coordinator.storage.migrating import current_revision, newest_revision

_SETTINGS = ("fsync", "full_page_writes", "synchronous_commit")
_CLIENTS = text("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")


def inspect_database(url: str, clock: Clock) -> DatabaseFacts:
    """Return the facts; nothing is made or changed.

    Raises:
        StorageUnavailable: the database cannot be reached, or its file is not there.
        DefinitionError: `url` is neither a PostgreSQL server's nor a SQLite file's.
    """
    parsed = parse_url(url)
    file = Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None
    if file is not None and not file.is_file():
        raise StorageUnavailable(f"there is no database file {file}")
    database = connect(
        url,
        application_name="headway doctor",
        clock=clock,
        pool_size=1,
        lock_timeout=timedelta(seconds=5),
    )
    try:
        common: dict[str, Any] = {
            "now": database.read_clock(),
            "revision": current_revision(url),
            "newest_revision": newest_revision(),
        }
        with database.reading() as connection:
            if file is None:
                return DatabaseFacts("postgresql", **common, **_postgres(connection))
            return DatabaseFacts("sqlite", **common, **_sqlite(connection, file))
    finally:
        database.close()


def _postgres(connection: Connection) -> dict[str, Any]:
    def show(name: str) -> str:
        return str(connection.execute(text(f"SHOW {name}")).scalar_one())

    return {
        "version": show("server_version"),
        "settings": {name: show(name) for name in _SETTINGS},
        "in_recovery": bool(connection.execute(text("SELECT pg_is_in_recovery()")).scalar_one()),
        "connections": (
            int(connection.execute(_CLIENTS).scalar_one()),
            int(show("max_connections")),
        ),
    }


def _sqlite(connection: Connection, file: Path) -> dict[str, Any]:
    journal = connection.execute(text("PRAGMA journal_mode")).scalar_one()
    return {
        "version": str(connection.execute(text("SELECT sqlite_version()")).scalar_one()),
        "settings": {"journal_mode": str(journal)},
        "folder": look_at(file.absolute().parent),
    }
