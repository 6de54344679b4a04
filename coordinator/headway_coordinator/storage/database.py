"""What the rest of storage needs of a database, whichever it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Engine, Executable, select
from sqlalchemy.types import TypeEngine

from headway_coordinator.application.ports import StorageUnavailable
from headway_coordinator.storage.failures import translated
from headway_coordinator.storage.lines import Line, Prepared
from headway_coordinator.storage.rows import Rows


class Database(ABC):
    """Connections and the clock. One instance a purpose: each has connections of its own."""

    dialect: Literal["postgresql", "sqlite"]
    now: ColumnElement[datetime]
    """The database's time, read anew by each statement, not once a transaction."""
    transaction_now: ColumnElement[datetime]
    """The database's time when the transaction was opened, in each of its statements the same."""

    def __init__(self, writer: Engine, reader: Engine, prompt: Engine) -> None:
        self._writer = writer
        self._reader = reader
        self._prompt = prompt

    @abstractmethod
    def prepared(self, statement: Executable) -> Prepared:
        """Return the statement as a line of this database takes it."""

    @abstractmethod
    def writing(self) -> AbstractContextManager[Line]:
        """Open a write transaction, as `transaction` does, whose statements need not be awaited."""

    @abstractmethod
    def prompt_line(self) -> AbstractContextManager[Line]:
        """Open a line whose statements commit whenever they are settled, as `prompt` does."""

    @abstractmethod
    def reading_line(self) -> AbstractContextManager[Line]:
        """Open a line for reads, as `reading` does."""

    @abstractmethod
    def later(self, name: str) -> ColumnElement[datetime]:
        """Return the time `span` from now; the span is the parameter `name`."""

    @abstractmethod
    def span(self, length: timedelta) -> Any:
        """Return the value of a parameter of `later`; make it where it is used, not before."""

    def rows(self, **types: TypeEngine[Any]) -> Rows:
        """Return a relation to be filled with given rows."""
        return Rows(self.dialect, **types)

    def transaction(self) -> AbstractContextManager[Connection]:
        """Open a write transaction; it commits when its block ends and rolls back on any error."""
        return _opened(self._writer)

    def prompt(self) -> AbstractContextManager[Connection]:
        """Open a connection for writes that need not be atomic: each commits at once where it can.

        On SQLite they share one transaction, which is cheaper there.
        """
        return _opened(self._prompt)

    def reading(self) -> AbstractContextManager[Connection]:
        """Open a connection for reads; each statement sees what was committed before it."""
        return _opened(self._reader)

    def read_clock(self) -> datetime:
        """Return the database's time."""
        with self.reading() as connection:
            return moment_of(connection.execute(select(self.now)).scalar())

    def close(self) -> None:
        for engine in {self._writer, self._reader, self._prompt}:
            engine.dispose()


@contextmanager
def _opened(engine: Engine) -> Iterator[Connection]:
    with translated(), engine.begin() as connection:
        yield connection


def moment_of(value: datetime | None) -> datetime:
    """Return a time that the database always gives.

    Raises:
        StorageUnavailable: it gave none.
    """
    if value is None:
        raise StorageUnavailable("the database gave no time")
    return value
