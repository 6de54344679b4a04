"""Named places where a process may be told to die, so that tests see what outlives it.

`HEADWAY_CRASH_AT=POINT:before|after:N` ends the process at the N-th arrival at that moment of that
point, as a power cut would: no handler runs, no buffer is written out. The registry is closed: a
name that is not in `POINTS` is refused by the settings and by the decorators alike, and a test
demands a point for everything that commits, publishes, acknowledges or synchronises.

A process is armed once, before the modules that bear points are imported; in a process that is not,
the decorators hand the function back as it is, so that a point costs nothing.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar, cast

from headway.errors import DefectError

Process = Literal["engine", "api", "worker"]
When = Literal["before", "after"]
F = TypeVar("F", bound=Callable[..., Any])

STATUS: Final = 86
"""The exit status of a process that died at its crash point."""

POINTS: Final[dict[str, tuple[Process, ...]]] = {
    # the leader
    "leases.acquire": ("engine",),
    "leases.renew": ("engine",),
    "leases.release": ("engine",),
    "storage.advancing": ("engine",),
    "advancing.redispatch": ("engine",),
    "storage.deciding": ("engine",),
    "deciding.decide": ("engine",),
    "events.forget": ("engine",),
    "deciding.take_dates": ("engine",),
    "doorbell.publish": ("engine",),
    "publisher.send": ("engine", "api"),
    "events.acknowledge": ("engine",),
    "events.drop": ("engine",),
    "upstream.acknowledge": ("engine",),
    "notifications.settle": ("engine",),
    "notifications.forget": ("engine",),
    # the API
    "inbox.add": ("api",),
    "inbox.add_many": ("api",),
    "workers.register": ("api",),
    "workers.register.rows": ("api",),
    "workers.claim": ("api",),
    "workers.heartbeat": ("api",),
    "workers.heartbeat.renewal": ("api",),
    "events.add": ("api", "engine"),
    "events.add.rows": ("api", "engine"),
    "notifications.retry": ("api",),
    "notifications.retry.rows": ("api",),
    "pauses.hold": ("api",),
    "pauses.lift": ("api",),
    "pauses.steer.rows": ("api",),
    "triggers.pause": ("api",),
    "triggers.resume": ("api",),
    "triggers.steer.rows": ("api",),
    "backfills.create": ("api",),
    "backfills.create.rows": ("api",),
    "backfills.steer": ("api",),
    "backfills.steer.rows": ("api",),
    "backfills.cancel": ("api",),
    "backfills.cancel.rows": ("api",),
    "backfills.set_lane": ("api",),
    "backfills.set_lane.rows": ("api",),
    "backfills.retry": ("api",),
    "backfills.retry.rows": ("api",),
    "definitions.put": ("api",),
    "definitions.put.rows": ("api",),
    "access.add_team": ("api",),
    "access.add_token": ("api",),
    "access.note_use": ("api",),
    "access.revoke_token": ("api",),
    "secrets.put": ("api",),
    "secrets.put.rows": ("api",),
    "secrets.reseal": ("api",),
    "secrets.reseal.rows": ("api",),
    "secrets.remove": ("api",),
    "secrets.remove.rows": ("api",),
    "store.put": ("api",),
    # the worker
    "api.register": ("worker",),
    "api.claims": ("worker",),
    "api.heartbeat": ("worker",),
    "api.completions": ("worker",),
    "api.logs": ("worker",),
    "api.artifacts": ("worker",),
    "completions.publish": ("worker",),
    "steps.acknowledge": ("worker",),
    "spool.write": ("worker",),
    "spool.sync": ("worker",),
    "spool.folder": ("worker",),
    "spool.discard": ("worker",),
    "journal.keep_left": ("worker",),
    "journal.begin": ("worker",),
    "journal.settled": ("worker",),
    "journal.started": ("worker",),
    "journal.end": ("worker",),
    "journal.forget_left": ("worker",),
}
"""Every point, and the processes that pass it. What each stands for: docs/crash-points.md."""


@dataclass(frozen=True, slots=True)
class CrashAt:
    """Where a process is to die: at the `visit`-th time that it is just before or after a point."""

    point: str
    when: When
    visit: int

    @classmethod
    def parse(cls, text: str) -> CrashAt:
        """Return what `POINT:before|after:N` says. Raises ValueError that says what is wrong."""
        match text.split(":"):
            case [point, "before" | "after" as when, visit] if point in POINTS:
                if visit.isascii() and visit.isdigit() and int(visit) > 0:
                    return cls(point, when, int(visit))
                raise ValueError(f"{visit!r} is no number of a visit; the first one is 1")
            case [point, "before" | "after", _]:
                raise ValueError(f"{point!r} is no crash point; docs/crash-points.md lists them")
        raise ValueError("a crash point is written POINT:before|after:N")

    def __str__(self) -> str:
        return f"{self.point}:{self.when}:{self.visit}"


def arm(text: str | None) -> None:
    """Let this process die where `text` says; None, as ever: nowhere.

    Raises:
        ValueError: it says no such place.
        DefectError: the module that bears the point was imported before.
    """
    global _armed
    if text is None:
        return
    wanted = CrashAt.parse(text)
    if wanted.point in _borne:
        raise DefectError("armed_too_late", f"{wanted.point} was imported before it was armed")
    _armed = _Armed(wanted)


def crash_point(name: str) -> Callable[[F], F]:
    """Name a function as a point: before it is called, and after it has returned."""
    return _bearing(name, lambda armed, function: armed.around_call(function))


def crash_block(name: str) -> Callable[[F], F]:
    """Name a context manager as a point: when its block is done, and after it has left in peace.

    For a transaction that is: all is written and nothing committed; and: committed.
    """
    return _bearing(name, lambda armed, function: armed.around_block(function))


@dataclass
class _Armed:
    """The one place where this process dies, and how often it has been there."""

    at: CrashAt
    visits: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def around_call(self, function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            self.arrive("before")
            result = function(*args, **kwargs)
            self.arrive("after")
            return result

        return cast(F, call)

    def around_block(self, function: F) -> F:
        @functools.wraps(function)
        def opened(*args: Any, **kwargs: Any) -> AbstractContextManager[Any]:
            return self._guarded(function(*args, **kwargs))

        return cast(F, opened)

    @contextmanager
    def _guarded(self, block: AbstractContextManager[Any]) -> Iterator[Any]:
        with block as given:
            yield given
            self.arrive("before")
        self.arrive("after")

    def arrive(self, when: When) -> None:
        """Die, if this is the moment."""
        if when != self.at.when:
            return
        with self.lock:
            self.visits += 1
            if self.visits != self.at.visit:
                return
            os.write(2, f"crash point {self.at}\n".encode())
            os._exit(STATUS)


_armed: _Armed | None = None
_borne: set[str] = set()


def _bearing(name: str, wrapped: Callable[[_Armed, F], F]) -> Callable[[F], F]:
    if name not in POINTS:
        raise DefectError("unknown_crash_point", f"{name} is not in the registry of crash points")

    def bear(function: F) -> F:
        _borne.add(name)
        if _armed is None or _armed.at.point != name:
            return function
        return wrapped(_armed, function)

    return bear
