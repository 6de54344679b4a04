"""PostgreSQL without an answer awaited for each statement: libpq's pipeline mode.

SQLAlchemy compiles a statement once; from then on it goes to libpq as it is, prepared once a
connection, its parameters as text. That takes a tenth of the processor time of an execution by
SQLAlchemy and psycopg, and a transaction is one round trip for its statements and one for COMMIT.

psycopg's own pipeline is not used: it makes a system call for each statement. libpq holds the
interpreter's lock while it waits for an answer, so nothing is read here before it has arrived.
"""

from __future__ import annotations

import itertools
import select
from collections import deque, namedtuple
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from threading import BoundedSemaphore
from typing import Any

import psycopg
from psycopg import pq
from sqlalchemy import Boolean, Dialect, Engine, Executable, Integer, String
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.types import TypeDecorator, TypeEngine

from headway_coordinator.application.ports import StorageUnavailable
from headway_coordinator.storage.lines import Answer, Check, Line, Params, Prepared

_DIALECT: Dialect = PGDialect_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
_NUMBERS = itertools.count(1)
_WAIT_S = 5.0  # for a line, when all are in use
_DONE = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)

Loader = Callable[[bytes], Any]


class PreparedText(Prepared):
    """A statement as libpq takes it; compiled when it is first used."""

    def __init__(self, statement: Executable) -> None:
        super().__init__(statement)
        self.name = b"headway_%d" % next(_NUMBERS)

    @cached_property
    def _compiled(self) -> Any:
        return self.statement.compile(dialect=_DIALECT)  # type: ignore[attr-defined]

    @cached_property
    def sql(self) -> bytes:
        return str(self._compiled).encode()

    @cached_property
    def _names(self) -> tuple[tuple[str, Any], ...]:
        """The parameters in order, each with the value that the statement itself gives it."""
        fixed = self._compiled.params
        return tuple((name, fixed[name]) for name in self._compiled.positiontup or ())

    @cached_property
    def loaders(self) -> tuple[Loader, ...]:
        """What makes a value of each column's text."""
        return tuple(_loader(column.type) for column in self._columns)

    @cached_property
    def row(self) -> Callable[[Iterable[Any]], Any]:
        """What makes a row of its values."""
        made = namedtuple("Row", [c.key for c in self._columns], rename=True)  # type: ignore[misc]
        return made._make

    @property
    def _columns(self) -> Sequence[Any]:
        return self.statement.exported_columns.values()  # type: ignore[attr-defined,no-any-return]

    def values(self, params: Params) -> list[bytes | None]:
        """Return the parameters as texts, in order."""
        return [_text(params.get(name, fixed)) for name, fixed in self._names]


@dataclass(frozen=True, slots=True)
class _Sent:
    """Something whose answer is still to come: a statement's preparation or execution."""

    statement: PreparedText | None
    check: Check | None = None
    prepares: bool = False


class PipelinedLine(Line):
    """A connection in pipeline mode."""

    def __init__(self, driver: psycopg.Connection[Any]) -> None:
        self._driver = driver
        self._server = driver.pgconn
        self._server.enter_pipeline_mode()
        self._readable = select.poll()
        self._readable.register(self._server.socket, select.POLLIN)
        self._prepared: set[bytes] = set()
        self._awaited: deque[_Sent] = deque()

    def send(self, statement: Prepared, params: Params, check: Check | None = None) -> None:
        assert isinstance(statement, PreparedText)
        values = statement.values(params)
        if statement.name not in self._prepared:
            self._server.send_prepare(statement.name, statement.sql)
            self._awaited.append(_Sent(statement, prepares=True))
            self._prepared.add(statement.name)
        self._server.send_query_prepared(statement.name, values)
        self._awaited.append(_Sent(statement, check))

    def command(self, sql: bytes) -> None:
        """Send a command that has no parameters and gives no rows."""
        self._server.send_query_params(sql, None)
        self._awaited.append(_Sent(None))

    def settle(self) -> None:
        if not self._awaited:
            return
        self._server.pipeline_sync()
        self._flush()
        awaited, self._awaited = self._awaited, deque()
        failure: Exception | None = None
        while (result := self._next()).status != pq.ExecStatus.PIPELINE_SYNC:
            # All answers are read before the first failure is raised: the line is clean then.
            failure = self._judge(result, awaited.popleft(), failure)
        if failure is not None:
            raise failure

    def roll_back(self) -> bool:
        """Undo the open transaction; return whether the line can be used again."""
        self._awaited = deque(_Sent(s.statement, prepares=s.prepares) for s in self._awaited)
        try:
            with suppress(psycopg.Error):  # whoever sent it does not ask any more
                self.settle()
            if not self._is_idle():
                self.command(b"ROLLBACK")
                self.settle()
        except psycopg.Error:
            return False
        return self._is_idle()

    def _is_idle(self) -> bool:
        return self._server.transaction_status == pq.TransactionStatus.IDLE

    def close(self) -> None:
        self._driver.close()

    def _judge(
        self, result: pq.abc.PGresult, sent: _Sent, before: Exception | None
    ) -> Exception | None:
        """Return why the answer is not as it should be; the server skips all after an error."""
        if result.status not in _DONE:
            if sent.prepares and sent.statement is not None:
                self._prepared.discard(sent.statement.name)
            return before or _error(result)
        if before is not None or sent.check is None:
            return before
        try:
            sent.check(_answer(result, sent.statement))
        except Exception as error:
            return error
        return None

    def _flush(self) -> None:
        """Send all that is buffered; an answer that comes meanwhile is taken in."""
        while self._server.flush():
            ready = select.poll()
            ready.register(self._server.socket, select.POLLIN | select.POLLOUT)
            if ready.poll()[0][1] & ~select.POLLOUT:
                self._server.consume_input()

    def _next(self) -> pq.abc.PGresult:
        """Return the next statement's answer or the end of them.

        Raises:
            psycopg.OperationalError: the connection is lost.
        """
        while True:
            while self._server.is_busy():
                self._readable.poll()
                self._server.consume_input()
            result = self._server.get_result()
            if result is not None:  # after each statement's answer there is nothing, once
                return result
            if self._server.status != pq.ConnStatus.OK:
                raise psycopg.OperationalError("the connection to the database is lost")


class Lines:
    """Lines that stay open between uses, as many as were ever needed at once, up to a limit."""

    def __init__(self, engine: Engine, limit: int) -> None:
        self._engine = engine
        self._free: list[PipelinedLine] = []
        self._room = BoundedSemaphore(limit)

    @contextmanager
    def transaction(self) -> Iterator[PipelinedLine]:
        """Open a transaction; it commits when its block ends and all answers are as expected."""
        with self.prompt() as line:
            line.command(b"BEGIN ISOLATION LEVEL READ COMMITTED")
            yield line
            line.settle()
            line.command(b"COMMIT")

    @contextmanager
    def prompt(self) -> Iterator[PipelinedLine]:
        """Open a line on which whatever is settled together is a transaction of its own."""
        if not self._room.acquire(timeout=_WAIT_S):
            raise StorageUnavailable("no free database connection")
        try:
            line = self._take()
            try:
                yield line
                line.settle()
            except BaseException:
                self._put_back(line)
                raise
            self._free.append(line)
        finally:
            self._room.release()

    def close(self) -> None:
        """Close the lines that nobody uses now."""
        while self._free:
            self._free.pop().close()

    def _take(self) -> PipelinedLine:
        try:
            return self._free.pop()
        except IndexError:
            connection = self._engine.raw_connection()
            driver: Any = connection.dbapi_connection
            connection.detach()  # the pool's checkout and check-in cost as much as a COMMIT
            return PipelinedLine(driver)

    def _put_back(self, line: PipelinedLine) -> None:
        """Keep a line that failed, if it can be used again."""
        if line.roll_back():
            self._free.append(line)
        else:
            line.close()
            self.close()  # what broke one line may have broken all


def _answer(result: pq.abc.PGresult, statement: PreparedText | None) -> Answer:
    count = result.command_tuples or 0
    if statement is None or not result.ntuples:
        return Answer(count)
    columns = [*enumerate(statement.loaders)]
    values = (_values(result, number, columns) for number in range(result.ntuples))
    return Answer(count, [*map(statement.row, values)])


def _values(
    result: pq.abc.PGresult, number: int, columns: Sequence[tuple[int, Loader]]
) -> Iterator[Any]:
    for column, load in columns:
        value = result.get_value(number, column)
        yield None if value is None else load(value)


def _error(result: pq.abc.PGresult) -> psycopg.Error:
    state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
    message = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode(
        errors="replace"
    )
    try:
        kind = psycopg.errors.lookup(state)
    except KeyError:
        kind = psycopg.OperationalError
    return kind(message or result.get_error_message())


def _loader(kind: TypeEngine[Any]) -> Loader:
    match kind:
        case TypeDecorator():  # Moment, Document: they read the text that SQLite keeps too
            return lambda value: kind.process_result_value(value.decode(), _DIALECT)
        case Integer():
            return int
        case Boolean():
            return lambda value: value == b"t"
        case String():
            return bytes.decode
        case _:
            raise TypeError(f"a column of a prepared statement has the type {kind!r}")


def _text(value: Any) -> bytes | None:
    """Return a parameter as PostgreSQL reads it.

    Raises:
        psycopg.DataError: a text holds NUL, which libpq would take for its end.
    """
    match value:
        case None:
            return None
        case str():
            encoded = value.encode()
            if b"\0" in encoded:
                raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
            return encoded
        case bool():
            return b"t" if value else b"f"
        case int():
            return b"%d" % value
        case datetime():
            return value.isoformat().encode()
        case timedelta():
            return b"%d microseconds" % (value // timedelta(microseconds=1))
        case _:
            raise TypeError(f"a {type(value).__name__} is no parameter of a prepared statement")
