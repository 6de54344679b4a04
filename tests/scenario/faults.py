"""One coordinator's way to the database, which can fail at the moments that matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from headway_coordinator.application.advancing_ports import Advancing
from headway_coordinator.application.ports import Lease, Storage, StorageUnavailable

Fault = Literal["refused", "lost", "die-before", "die-after"]

_PORTS = (
    *("leases", "runs", "inbox", "workers", "sweeps", "definitions", "access", "queries"),
    "pauses",
)


class Died(BaseException):
    """The process ended here. No `except Exception` catches it."""


class FaultyStorage:
    """Implements `Storage` by another one; `away` makes every call fail.

    `fault` strikes the next advancing transaction that would commit: `refused` fails before the
    commit, `lost` after it (the answer never comes), `die-before` and `die-after` end the process.
    `race` is done just before the next one begins, after everything was decided.
    """

    def __init__(self, real: Storage) -> None:
        self._real = real
        self.dialect = real.dialect
        self.away = False
        self.fault: Fault | None = None
        self.race: Callable[[], None] | None = None

    def __getattr__(self, name: str) -> Any:
        if name not in _PORTS:
            raise AttributeError(name)
        return _Gate(getattr(self._real, name), self._check)

    @contextmanager
    def advancing(self, lease: Lease) -> Iterator[Advancing]:
        self._check()
        race, self.race = self.race, None
        if race is not None:
            race()
        with self._real.advancing(lease) as transaction:
            yield transaction
            fault, self.fault = self.fault, None
            if fault == "refused":
                raise StorageUnavailable("the connection broke before the commit")
            if fault == "die-before":
                raise Died
        if fault == "lost":
            raise StorageUnavailable("the connection broke while the commit was under way")
        if fault == "die-after":
            raise Died

    def close(self) -> None:
        pass  # the world's to close: the coordinators share it

    def _check(self) -> None:
        if self.away:
            raise StorageUnavailable("the database cannot be reached")


class _Gate:
    def __init__(self, port: Any, check: Callable[[], None]) -> None:
        self._port = port
        self._check = check

    def __getattr__(self, name: str) -> Any:
        self._check()
        return getattr(self._port, name)
