"""Bringing a database to the present schema. Alembic is imported only here, when it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from headway.clock import SystemClock
from headway_coordinator.storage.connecting import connect

if TYPE_CHECKING:
    from alembic.config import Config

_LIMITS = ("statement_timeout", "idle_in_transaction_session_timeout")
_TURN = 7_246_341_905  # an advisory lock's number that nothing else in the database takes


def upgrade(url: str) -> str:
    """Bring the database to the newest revision and return it; several may do so at once.

    Raises:
        StorageUnavailable: the database cannot be reached.
    """
    from alembic import command

    with _connected(url, write=True) as connection:
        if connection.dialect.name == "postgresql":
            for limit in _LIMITS:  # of requests; a large table takes its time, and so do others
                connection.execute(text(f"SET LOCAL {limit} = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _TURN})
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return newest_revision()


def current_revision(url: str) -> str | None:
    """Return the revision that the database is at; None if it has none yet.

    Raises:
        StorageUnavailable: the database cannot be reached.
    """
    from alembic.migration import MigrationContext

    with _connected(url, write=False) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest_revision() -> str:
    """Return the revision that this version of Headway needs."""
    from alembic.script import ScriptDirectory

    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


@contextmanager
def _connected(url: str, *, write: bool) -> Iterator[Connection]:
    database = connect(
        url,
        application_name="headway db",
        clock=SystemClock(),
        pool_size=1,
        lock_timeout=timedelta(seconds=30),
    )
    try:
        with database.transaction() if write else database.reading() as connection:
            yield connection
    finally:
        database.close()


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config
