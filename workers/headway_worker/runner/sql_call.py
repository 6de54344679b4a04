"""What performs a `sql` step: called in a warm interpreter, as a function of the team's code is."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

MOST_ROWS_AS_OUTPUT = 10_000
_PAGE = 1000
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.S)
_MISSING = "sql steps need SQLAlchemy on the worker: pip install 'headway[sql]'"


def perform(
    url: str, query: str, params: Mapping[str, Any], to: str | None, rows: bool
) -> dict[str, Any]:
    """Run one statement in one transaction; return `count`, and with `rows` the rows as objects.

    `count` is how many rows it gave, or else changed. With `to` the rows are written to that file
    of the step's folder, as CSV or JSON lines, a page at a time.

    Raises:
        RuntimeError: no SQLAlchemy, no driver, no connection, or the statement failed. The message
            holds no part of the URL.
    """
    try:
        import sqlalchemy
    except ImportError:
        raise RuntimeError(_MISSING) from None
    try:
        engine = sqlalchemy.create_engine(_with_driver(url), poolclass=sqlalchemy.NullPool)
    except ImportError as error:
        raise RuntimeError(f"the worker lacks the database's driver: {error.name}") from None
    except sqlalchemy.exc.ArgumentError:
        raise RuntimeError("this is no address of a database that SQLAlchemy knows") from None
    try:
        with engine.begin() as connection:
            if _is_plain_select(query):
                connection = connection.execution_options(yield_per=_PAGE)
            result = connection.execute(sqlalchemy.text(query), dict(params))
            if not result.returns_rows:
                count = max(0, result.rowcount)
                print(f"{count} rows changed")
                return {"count": count, **({"rows": []} if rows else {})}
            found = _taken(result, to, keep=rows)
    except sqlalchemy.exc.DBAPIError as error:
        raise RuntimeError(f"{type(error.orig).__name__}: {_said(error.orig)}") from None
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise RuntimeError(f"{type(error).__name__}: {_said(error)}") from None
    print(f"{found['count']} rows")
    return found


def _is_plain_select(query: str) -> bool:
    """Say whether a cursor in the server can hand the rows out page by page: PostgreSQL has
    cursors for queries alone, and what changes data may give rows, too."""
    bare = _COMMENT.sub(" ", query).lstrip().upper()
    return bare.startswith(("SELECT", "VALUES", "TABLE")) and not re.search(r"\bINTO\b", bare)


def _with_driver(url: str) -> str:
    """Return the URL with the driver that Headway brings, if it names none."""
    for name in ("postgresql://", "postgres://"):
        if url.startswith(name):
            return "postgresql+psycopg://" + url.removeprefix(name)
    return url


def _taken(result: Any, to: str | None, *, keep: bool) -> dict[str, Any]:
    names = [str(name) for name in result.keys()]  # noqa: SIM118 - a result is no dictionary
    kept: list[dict[str, Any]] = []
    count = 0
    with _file(to, names) as write:
        for row in result:
            values = [_plain(value) for value in row]
            write(values)
            if keep and len(kept) <= MOST_ROWS_AS_OUTPUT:
                kept.append(dict(zip(names, values, strict=True)))
            count += 1
    if keep and count > MOST_ROWS_AS_OUTPUT:
        message = f"{count:,} rows are too many for an output, which takes {MOST_ROWS_AS_OUTPUT:,}"
        raise RuntimeError(f"{message}; let them go to a file: `to: rows.jsonl`")
    return {"count": count, **({"rows": kept} if keep else {})}


@contextlib.contextmanager
def _file(to: str | None, names: Sequence[str]) -> Iterator[Any]:
    """Give what writes a row to the file, or forgets it."""
    if to is None:
        yield lambda values: None
        return
    path = Path(os.environ["HEADWAY_WORKDIR"]) / to
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            writer = csv.writer(file)
            writer.writerow(names)
            yield lambda values: writer.writerow(values)
        else:
            yield lambda values: file.write(
                json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False) + "\n"
            )


def _plain(value: Any) -> Any:
    """Return a value of a column as JSON: exact numbers and unknown things as text."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if value == value and abs(value) != float("inf") else str(value)
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal() | uuid.UUID() | timedelta():
            return str(value)
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    return str(value)


def _said(error: Any) -> str:
    return " ".join(str(error).split())[:1000]
