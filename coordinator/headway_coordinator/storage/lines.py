"""Statements that are made once a process and sent without waiting for each one's answer.

A `Line` is an open connection. `send` hands it a statement and what is to be checked of its
answer; `settle` waits for all the answers and checks them in the order sent. On PostgreSQL all
that was sent in between is one round trip (see `pipelining`); on SQLite, which lives in this
process, each statement is executed as it is sent.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, CursorResult, Executable

from headway_coordinator.storage.counting import expect

Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement gave: `count` rows were written or read, and `rows` if it returns any.

    A row is a sequence of its columns' values, which are its attributes as well.
    """

    count: int
    rows: Sequence[Any] = ()


Check = Callable[[Answer], None]


class Prepared:
    """A statement made once, with its parameters left open."""

    def __init__(self, statement: Executable) -> None:
        self.statement = statement


class Line(ABC):
    """An open connection; one thread uses it."""

    @abstractmethod
    def send(self, statement: Prepared, params: Params, check: Check | None = None) -> None:
        """Send a statement; `check` gets its answer, by the next `settle` at the latest."""

    @abstractmethod
    def settle(self) -> None:
        """Wait for every answer; raises the first error, the database's or a check's."""

    def ask(self, statement: Prepared, params: Params) -> Answer:
        """Send a statement and return its answer; what was sent before is settled too."""
        answers: list[Answer] = []
        self.send(statement, params, answers.append)
        self.settle()
        return answers[0]


class DirectLine(Line):
    """Executes what is sent at once, by SQLAlchemy."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def send(self, statement: Prepared, params: Params, check: Check | None = None) -> None:
        result: CursorResult[Any] = self._connection.execute(statement.statement, dict(params))
        answer = _read(result)
        if check is not None:
            check(answer)

    def settle(self) -> None:
        return


def _read(result: CursorResult[Any]) -> Answer:
    if not result.returns_rows:
        return Answer(result.rowcount)
    rows = result.all()
    return Answer(len(rows), rows)


def expecting(wanted: int, what: str) -> Check:
    """Return the check that a statement wrote as many rows as were meant.

    The check raises PreconditionFailed: the transaction must not be committed.
    """

    def check(answer: Answer) -> None:
        expect(answer.count, wanted, what)

    return check
