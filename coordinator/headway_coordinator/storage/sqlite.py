"""SQLite: one host, one coordinator, one writer at a time.

A write transaction takes the write lock before its first read, because a lock taken later cannot
be waited for. SQLite's own waiting sleeps up to 100 ms at a time, which starves claims beside a
busy leader; so it is turned off and the lock is asked for again every 0.5 to 2 ms.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Executable,
    bindparam,
    create_engine,
    event,
)

from headway.clock import Clock
from headway.errors import DefinitionError
from headway_coordinator.application.ports import StorageUnavailable
from headway_coordinator.storage.columns import Moment
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.lines import DirectLine, Line, Prepared

LOCK_WAIT_SECONDS = 5.0


class SqliteDatabase(Database):
    """Connections to one file. The clock is the host's."""

    dialect = "sqlite"

    def __init__(self, url: URL, *, clock: Clock) -> None:
        if not url.database or url.database == ":memory:":
            raise DefinitionError(
                "HEADWAY_DATABASE_URL: a SQLite database must be a file",
                code="invalid_settings",
                hint="Use sqlite:////folder/headway.db.",
            )
        # One connection writes, and whoever waits for it waits in line: no polling in the process.
        writer = _engine(url, pool_size=1, overflow=0, pragmas={"busy_timeout": 0})
        event.listen(writer, "begin", _take_write_lock)
        reading = {"busy_timeout": int(LOCK_WAIT_SECONDS * 1000), "query_only": 1}
        reader = _engine(url, pool_size=5, overflow=60, pragmas=reading)
        super().__init__(writer, reader, writer)
        self._clock = clock
        self.now = bindparam("database_now", callable_=clock.now, type_=Moment())
        self.transaction_now = bindparam(
            "transaction_now", callable_=lambda: self._opened_at, type_=Moment()
        )
        self._opened_at = clock.now()

    def prepared(self, statement: Executable) -> Prepared:
        return Prepared(statement)

    @contextmanager
    def writing(self) -> Iterator[Line]:
        with self.transaction() as connection:  # one at a time: the others wait here
            self._opened_at = self._clock.now()
            yield DirectLine(connection)

    @contextmanager
    def prompt_line(self) -> Iterator[Line]:
        with self.prompt() as connection:
            yield DirectLine(connection)

    @contextmanager
    def reading_line(self) -> Iterator[Line]:
        with self.reading() as connection:
            yield DirectLine(connection)

    def later(self, name: str) -> ColumnElement[datetime]:
        return bindparam(name, type_=Moment())

    def span(self, length: timedelta) -> datetime:
        return self._clock.now() + length


def _engine(url: URL, *, pool_size: int, overflow: int, pragmas: dict[str, int]) -> Engine:
    engine = create_engine(
        url.set(drivername="sqlite+pysqlite"),
        pool_size=pool_size,
        max_overflow=overflow,
        pool_timeout=LOCK_WAIT_SECONDS,
        connect_args={"timeout": LOCK_WAIT_SECONDS, "check_same_thread": False},
    )

    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins no transaction by itself
        lasting = {"journal_mode": "WAL", "synchronous": "FULL", "foreign_keys": 1}
        for name, value in {**lasting, **pragmas}.items():
            connection.execute(f"PRAGMA {name}={value}").close()

    event.listen(engine, "connect", configure)
    return engine


def _take_write_lock(connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    while True:
        try:
            driver.execute("BEGIN IMMEDIATE").close()
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not busy or time.monotonic() > deadline:
                raise StorageUnavailable(f"no write lock on the database: {error}") from error
            # SQLite tells nobody that its lock is free, and its own waiting grows to 100 ms.
            time.sleep(random.uniform(0.0005, 0.002))
