"""PostgreSQL: psycopg 3, READ COMMITTED, the server's clock, and limits on every wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.string import TextLoader
from sqlalchemy import (
    URL,
    ColumnElement,
    Engine,
    Executable,
    Interval,
    bindparam,
    create_engine,
    event,
    func,
)

from headway_coordinator.storage import pipelining
from headway_coordinator.storage.columns import Moment
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.failures import translated
from headway_coordinator.storage.lines import Line, Prepared


class PostgresDatabase(Database):
    """Connections to one server for one purpose."""

    dialect = "postgresql"

    def __init__(
        self, url: URL, *, application_name: str, pool_size: int, lock_timeout: timedelta
    ) -> None:
        engine = _engine(url, application_name, max(1, pool_size // 2), lock_timeout)
        prompt = engine.execution_options(isolation_level="AUTOCOMMIT")
        super().__init__(engine, prompt, prompt)
        self._lines = pipelining.Lines(engine, pool_size)
        self.now = func.clock_timestamp(type_=Moment())
        self.transaction_now = func.transaction_timestamp(type_=Moment())

    def prepared(self, statement: Executable) -> Prepared:
        return pipelining.PreparedText(statement)

    @contextmanager
    def writing(self) -> Iterator[Line]:
        with translated(), self._lines.transaction() as line:
            yield line

    @contextmanager
    def prompt_line(self) -> Iterator[Line]:
        with translated(), self._lines.prompt() as line:
            yield line

    def reading_line(self) -> AbstractContextManager[Line]:
        return self.prompt_line()

    def close(self) -> None:
        self._lines.close()
        super().close()

    def later(self, name: str) -> ColumnElement[datetime]:
        moment: ColumnElement[datetime] = self.now + bindparam(name, type_=Interval())
        return moment

    def span(self, length: timedelta) -> timedelta:
        return length


def _engine(url: URL, application_name: str, pool_size: int, lock_timeout: timedelta) -> Engine:
    engine = create_engine(
        _with_driver(url),
        connect_args=_connect_args(url, application_name, lock_timeout),
        isolation_level="READ COMMITTED",
        pool_size=pool_size,
        max_overflow=pool_size if pool_size > 1 else 0,
        pool_timeout=5,
        pool_use_lifo=True,
    )
    event.listen(engine, "connect", _keep_json_as_text)
    return engine


def _with_driver(url: URL) -> URL:
    return url.set(drivername="postgresql+psycopg")


def _connect_args(url: URL, application_name: str, lock_timeout: timedelta) -> dict[str, Any]:
    """Return options without which a dead peer, or a paused one, would stop everybody else."""
    given = url.query.get("options", "")
    own = {
        "timezone": "UTC",
        "datestyle": "ISO",
        "idle_in_transaction_session_timeout": 5_000,
        "statement_timeout": 30_000,
        "lock_timeout": int(lock_timeout.total_seconds() * 1000),
    }
    options = " ".join(f"-c {name}={value}" for name, value in own.items())
    return {
        "options": f"{options} {given if isinstance(given, str) else ' '.join(given)}".strip(),
        "application_name": application_name[:63],
        "connect_timeout": 5,
        "tcp_user_timeout": 10_000,
        "keepalives": 1,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
    }


def _keep_json_as_text(connection: Any, _record: object) -> None:
    connection.adapters.register_loader("json", TextLoader)
