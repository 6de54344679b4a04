"""Errors of the drivers as Headway's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from headway.errors import DefectError, HeadwayError
from headway_coordinator.application.ports import PreconditionFailed, StorageUnavailable

_NO_TABLE = ("no such table", "no such column", "does not exist")


@contextmanager
def translated() -> Iterator[None]:
    """Raise what the block raises of the driver's as an error of Headway's.

    Raises:
        PreconditionFailed: a constraint or a value's range was broken.
        StorageUnavailable: anything that may pass: connection, timeout, deadlock, commit.
        DefectError: the statement itself is wrong.
    """
    try:
        yield
    except (exc.DBAPIError, exc.TimeoutError) as error:
        raise translate(error) from error


def translate(error: exc.SQLAlchemyError) -> HeadwayError:
    """Return Headway's error for one of the driver's."""
    first = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    if isinstance(error, (exc.IntegrityError, exc.DataError)):
        return PreconditionFailed(first)
    if any(part in first for part in _NO_TABLE):
        return StorageUnavailable(
            f"the schema is not up to date ({first}): run `headway db upgrade`"
        )
    if isinstance(error, exc.TimeoutError):
        return StorageUnavailable("no free database connection")
    if getattr(error, "connection_invalidated", False) or isinstance(
        error, (exc.OperationalError, exc.InterfaceError, exc.InternalError)
    ):
        return StorageUnavailable(first)
    return DefectError("storage_statement", first)
