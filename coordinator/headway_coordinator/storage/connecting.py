"""A database's URL as connections to it."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from headway.clock import Clock
from headway.errors import DefinitionError
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.postgresql import PostgresDatabase
from headway_coordinator.storage.sqlite import SqliteDatabase

_HINT = "Use postgresql://user@host/name or sqlite:////folder/headway.db."


def connect(
    url: str, *, application_name: str, clock: Clock, pool_size: int, lock_timeout: timedelta
) -> Database:
    """Return connections of their own to the database; the first one opens when it is used.

    Raises:
        DefinitionError: `url` is neither a PostgreSQL server's nor a SQLite file's.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return SqliteDatabase(parsed, clock=clock)
    return PostgresDatabase(
        parsed, application_name=application_name, pool_size=pool_size, lock_timeout=lock_timeout
    )


def parse_url(url: str) -> URL:
    """Return the parts of a database's URL.

    Raises:
        DefinitionError: it is no URL, or names a database that Headway does not know.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise _wrong("HEADWAY_DATABASE_URL is no URL") from error
    name = "postgresql" if parsed.get_backend_name() == "postgres" else parsed.get_backend_name()
    if name not in ("postgresql", "sqlite"):
        raise _wrong(f"HEADWAY_DATABASE_URL: {name} is no database that Headway knows")
    return parsed.set(drivername=name)


def _wrong(message: str) -> DefinitionError:
    return DefinitionError(message, code="invalid_settings", hint=_HINT)
