"""The lock file that keeps a second coordinator off a SQLite database."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import make_url

from headway.errors import UnavailableError


@contextmanager
def exclusive(url: str) -> Iterator[None]:
    """Hold the database for one coordinator; on PostgreSQL this does nothing.

    The lock is the operating system's: it ends with the process that took it and its children
    that inherited the file. All processes of one coordinator share the one lock.

    Raises:
        UnavailableError: another coordinator holds it (code `database_in_use`).
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        yield
        return
    path = f"{parsed.database}.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UnavailableError(
                "database_in_use",
                f"another coordinator uses {parsed.database}",
                "SQLite serves one coordinator. Stop the other one, or use PostgreSQL.",
            ) from error
        yield
    finally:
        os.close(handle)
