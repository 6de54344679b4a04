"""Proves end to end that this worker still consumes: it sends itself messages and waits for them.

A Celery worker can go deaf: after a cut connection its loop runs, its heartbeats go out, and no
message is ever taken again. Nothing inside tells, so the proof goes the whole way: a message
through the broker, on a connection of its own, to a queue that the same consumer reads as it reads
the steps' queues. A worker that hears nothing although the broker takes its messages and a slot is
free drains and ends, and its supervisor starts another.

The proof holds for its own queue. Of the steps' queues two others tell: the broker, which knows who
consumes them, and the coordinator, which knows that steps wait in them. Then the consumer connects
anew, and the running steps go on.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol

import structlog

from headway.clock import Clock
from headway.errors import UnavailableError

_PROBES_A_LIMIT = 6
_DOUBTS = 3
# Longer than the listener's longest pause between two connections.
_AGAIN_SECONDS = 2.5
_log = structlog.get_logger()


class Voice(Protocol):
    """Sends a probe to this worker's own queue."""

    def send(self, probe: str) -> None:
        """Hand the probe to the broker. Raises UnavailableError when that is not certain."""

    def forsaken(self, queues: Sequence[str]) -> list[str]:
        """Return those queues that nobody consumes. Raises UnavailableError."""

    def close(self) -> None: ...


class Hearing:
    """A thread that speaks; the consumer tells it what was heard."""

    def __init__(
        self,
        voice: Voice,
        clock: Clock,
        *,
        queues: Callable[[], Sequence[str]],
        limit: timedelta,
        has_free_slot: Callable[[], bool],
        reconnect: Callable[[], None],
        on_deaf: Callable[[], None],
    ) -> None:
        """`queues` are the steps' queues that should be consumed now."""
        self._voice = voice
        self._queues = queues
        self._reconnect = reconnect
        self._forsaken: set[str] = set()
        self._doubts: Counter[str] = Counter()
        self._doubted_at = clock.monotonic()
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

    def doubt(self, queues: Sequence[str]) -> None:
        """Hear the coordinator: in these queues steps wait, although this worker has free slots.

        Said in three heartbeats one after the other, it is no chance.
        """
        own = {*queues} & {*self._queues()}
        self._doubts = Counter({queue: self._doubts[queue] + 1 for queue in own})
        surely = sorted(queue for queue, times in self._doubts.items() if times >= _DOUBTS)
        now = self._clock.monotonic()
        if surely and now - self._doubted_at >= self._limit:
            self._doubted_at = now
            self._doubts.clear()
            _log.warning("queues_unheard", queues=surely, told_by="coordinator")
            self._reconnect()

    def look(self) -> None:
        """Ask the broker whether the steps' queues have a consumer; twice without one is too often.

        Just after a connection broke, a queue may be without. With all slots in use it rightly may:
        a worker that is sent more than it has room for stops listening.
        """
        if not self._has_free_slot():
            self._forsaken = set()
            return
        try:
            found = set(self._voice.forsaken(self._queues()))
        except UnavailableError as error:
            _log.debug("queues_not_seen", error=error.message)
            found = set()
        again, self._forsaken = sorted(found & self._forsaken), found
        if again:
            self._forsaken = set()
            _log.warning("queues_unheard", queues=again, told_by="broker")
            self._reconnect()

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

    def pause(self) -> float:
        """Return for how many seconds to wait now: not for long while a queue seems forsaken."""
        usual = self._limit / _PROBES_A_LIMIT
        return min(usual, _AGAIN_SECONDS) if self._forsaken else usual

    def _run(self) -> None:
        while not self._stopping.wait(self.pause()):
            self.tick()
            self.look()
