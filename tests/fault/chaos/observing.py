"""Looks at the database from outside: who leads, what waits; it must bear that it is away."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from tests.fault.checker.history import Seen

_LOOK_SECONDS = 0.1


class Observer:
    """A connection of its own; `rows` raises psycopg.OperationalError while there is none."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None

    def rows(self, query: str, *given: Any) -> list[Any]:
        with self._lock:
            try:
                connection = self._connection or self._connect()
                self._connection = connection
                return connection.execute(query, given).fetchall()
            except psycopg.Error:
                self._drop()
                raise

    def some(self, query: str, *given: Any) -> list[Any]:
        """Return the rows, or none while the database is away."""
        try:
            return self.rows(query, *given)
        except psycopg.OperationalError:
            return []

    def value(self, query: str, *given: Any) -> Any:
        return self.rows(query, *given)[0][0]

    def leader(self) -> str | None:
        """Return who holds the lease, if it has not run out."""
        found = self.some("SELECT holder FROM lease WHERE expires_at > clock_timestamp()")
        return found[0][0] if found else None

    def epoch(self) -> int:
        return int(self.value("SELECT max(epoch) FROM lease"))

    def open_runs(self) -> int:
        """Return how many runs have not ended, those that are only asked for included."""
        return int(
            self.value(
                "SELECT (SELECT count(*) FROM run WHERE finished_at IS NULL)"
                " + (SELECT count(*) FROM inbox WHERE applied_at IS NULL AND kind = 'run')"
            )
        )

    def running(self, team: str | None = None) -> list[tuple[str, str]]:
        """Return (attempt, worker) of what runs."""
        return self.rows(
            "SELECT id, worker FROM attempt WHERE state = 'running' AND team LIKE %s", team or "%"
        )

    def unclaimed(self) -> list[tuple[str, int]]:
        """Return (attempt, dispatch number) of what was rung and not taken."""
        return self.rows("SELECT id, dispatch_no FROM attempt WHERE state = 'dispatched'")

    def still_unclaimed(self, known: Sequence[tuple[str, int]]) -> list[str]:
        """Return which of the known dispatches were neither taken nor rung again."""
        now = dict(self.unclaimed())
        return [id for id, number in known if now.get(id) == number]

    def first_dispatch_after(self, epoch: int) -> datetime | None:
        """Return when a later epoch first made an attempt."""
        found = self.some(
            "SELECT min(at) FROM audit WHERE epoch > %s AND transitions::text LIKE %s",
            epoch,
            '%"to":"dispatched"%',
        )
        moment: datetime | None = found[0][0] if found else None
        return moment

    def first_dispatch_since(self, moment: datetime) -> datetime | None:
        """Return when an attempt was first made at or after a time."""
        found = self.some(
            "SELECT min(dispatched_at) FROM attempt WHERE dispatched_at >= %s", moment
        )
        first: datetime | None = found[0][0] if found else None
        return first

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            self._url, autocommit=True, connect_timeout=3, application_name="chaos"
        )

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        with self._lock:
            self._drop()


class LeaseWatch:
    """Writes down every hold of the lease that it sees, a line of JSON each, for the checker."""

    def __init__(self, url: str, file: Path) -> None:
        self._observer = Observer(url)
        self._file = file
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._observer.close()

    def _run(self) -> None:
        last: tuple[int, str, str] | None = None
        with self._file.open("a") as file:
            while not self._stop.wait(_LOOK_SECONDS):
                for at, *hold in self._observer.some(
                    "SELECT clock_timestamp(), epoch, holder, boot FROM lease"
                ):
                    if tuple(hold) != last:
                        last = (hold[0], hold[1], hold[2])
                        seen = Seen(at, *last)
                        entry = {"at": seen.at.isoformat(), "epoch": seen.epoch}
                        entry |= {"holder": seen.holder, "boot": seen.boot}
                        file.write(json.dumps(entry) + "\n")
                        file.flush()
