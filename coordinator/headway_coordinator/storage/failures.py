"""Errors of the drivers as Headway's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import exc

from headway.errors import DefectError, HeadwayError
from headway_coordinator.application.ports import PreconditionFailed, StorageUnavailable

_TOO_LARGE = "54"  # the class of what exceeds a limit of the server's, such as an index row's size
_NOT_MIGRATED = ("42P01", "42703")  # undefined table, undefined column
_REFUSED = (exc.IntegrityError, exc.DataError, psycopg.IntegrityError, psycopg.DataError)
_WRONG = (
    exc.ProgrammingError,
    exc.NotSupportedError,
    psycopg.ProgrammingError,
    psycopg.NotSupportedError,
)


@contextmanager
def translated() -> Iterator[None]:
    """Raise what the block raises of the driver's as an error of Headway's.

    Raises:
        PreconditionFailed: a constraint or a value's range was broken, or a value is too large.
        StorageUnavailable: anything that may pass: connection, timeout, deadlock, commit.
        DefectError: the statement itself is wrong.
    """
    try:
        yield
    except (exc.DBAPIError, exc.TimeoutError, psycopg.Error) as error:
        raise translate(error) from error


def translate(error: exc.SQLAlchemyError | psycopg.Error) -> HeadwayError:
    """Return Headway's error for one of the driver's, whether SQLAlchemy wrapped it or not."""
    first = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    if isinstance(error, _REFUSED) or _state_of(error).startswith(_TOO_LARGE):
        return PreconditionFailed(first)
    if _is_not_migrated(error, first):
        return StorageUnavailable(
            f"the schema is not up to date ({first}): run `headway db upgrade`"
        )
    if isinstance(error, exc.TimeoutError):
        return StorageUnavailable("no free database connection")
    if isinstance(error, _WRONG):
        return DefectError("storage_statement", first)
    return StorageUnavailable(first)


def _is_not_migrated(error: exc.SQLAlchemyError | psycopg.Error, message: str) -> bool:
    return _state_of(error) in _NOT_MIGRATED or message.startswith(
        ("no such table", "no such column")
    )


def _state_of(error: exc.SQLAlchemyError | psycopg.Error) -> str:
    """Return PostgreSQL's code of the error, or the empty text."""
    return str(getattr(getattr(error, "orig", error), "sqlstate", None) or "")
