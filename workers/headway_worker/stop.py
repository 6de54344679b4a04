"""Why a running attempt is to end before its time, and the way to tell it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import StrEnum


class StopReason(StrEnum):
    """A closed set; what it means for the attempt's outcome is decided in `attempt`."""

    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LEASE_EXPIRED = "lease_expired"
    PREEMPTED = "preempted"
    DISOWNED = "disowned"  # the coordinator has given the attempt up; nothing is to be reported


class Stop:
    """One attempt's stop signal. The first reason holds; a later request can only be quicker."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kill: Callable[[float], None] | None = None
        self._grace: float | None = None
        self._asked = threading.Event()
        self.reason: StopReason | None = None

    def request(self, reason: StopReason, grace: float) -> None:
        """Ask for the end within `grace` seconds."""
        with self._lock:
            if self._grace is not None and grace >= self._grace:
                return
            self._grace = grace
            self.reason = self.reason or reason
            self._asked.set()
            if self._kill is not None:
                self._kill(grace)

    def wait(self, seconds: float) -> bool:
        """Wait for a stop up to `seconds`; say whether it was asked."""
        return self._asked.wait(seconds)

    def attach(self, kill: Callable[[float], None]) -> None:
        """Name what ends the work that now starts; called at once if a stop was asked before."""
        with self._lock:
            self._kill = kill
            if self._grace is not None:
                kill(self._grace)

    def detach(self) -> None:
        """Say that the work has ended."""
        with self._lock:
            self._kill = None
