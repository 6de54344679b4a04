"""Proves end to end that this worker still consumes: it sends itself messages and waits for them.

A Celery worker can go deaf: after a cut connection its loop runs, its heartbeats go out, and no
message is ever taken again. Nothing inside tells, so the proof goes the whole way: a message
through the broker, on a connection of its own, to a queue that the same consumer reads as it reads
the steps' queues. A worker that hears nothing although the broker takes its messages and a slot is
free drains and ends, and its supervisor starts another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

import structlog

from headway.clock import Clock
from headway.errors import UnavailableError

_PROBES_A_LIMIT = 6
_log = structlog.get_logger()


class Voice(Protocol):
    """Sends a probe to this worker's own queue."""

    def send(self, probe: str) -> None:
        """Hand the probe to the broker. Raises UnavailableError when that is not certain."""

    def close(self) -> None: ...


class Hearing:
    """A thread that speaks; the consumer tells it what was heard."""

    def __init__(
        self,
        voice: Voice,
        clock: Clock,
        *,
        limit: timedelta,
        has_free_slot: Callable[[], bool],
        on_deaf: Callable[[], None],
    ) -> None:
        self._voice = voice
        self._clock = clock
        self._limit = limit.total_seconds()
        self._has_free_slot = has_free_slot
        self._on_deaf = on_deaf
        self._number = 0
        self._unheard_since: float | None = None
        self._heard_at = clock.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hearing", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=5)
        self._voice.close()

    def heard(self, probe: str) -> None:
        """Note a probe that the consumer took, also one of before."""
        self._heard_at = self._clock.monotonic()
        self._unheard_since = None

    def silence(self) -> float:
        """Return for how many seconds nothing of its own was heard."""
        return self._clock.monotonic() - self._heard_at

    def tick(self) -> None:
        """Send one probe, and judge by the earlier ones."""
        if not self._has_free_slot():
            # With all slots in use the broker rightly sends nothing.
            self._unheard_since = None
            return
        now = self._clock.monotonic()
        self._number += 1
        try:
            self._voice.send(str(self._number))
        except UnavailableError as error:
            # Nobody hears anything while the broker is away.
            _log.debug("probe_not_sent", error=error.message)
            self._unheard_since = None
            return
        if self._unheard_since is None:
            self._unheard_since = now  # until this probe is heard, or the next
        elif now - self._unheard_since >= self._limit:
            _log.error("deaf", seconds=round(now - self._unheard_since, 1))
            self._on_deaf()

    def _run(self) -> None:
        while not self._stopping.wait(self._limit / _PROBES_A_LIMIT):
            self.tick()
