"""The queues of steps inside one process: what a broker is between processes."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping

from headway.protocol.messages import Dispatch


class StepQueue:
    """First in, first out; safe to use from many threads. Loses and doubles nothing."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Dispatch] = deque()
        self._closed = False

    def publish(self, dispatches: Iterable[Dispatch]) -> None:
        """Add dispatches; never blocks."""
        with self._changed:
            self._waiting.extend(dispatches)
            self._changed.notify_all()

    def take(self) -> Dispatch | None:
        """Wait for the next dispatch and remove it; None once the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return None if self._closed else self._waiting.popleft()

    def depths(self) -> Mapping[str, int]:
        """Return how many dispatches wait in each queue that has some."""
        with self._changed:
            return Counter(dispatch.queue for dispatch in self._waiting)

    def close(self) -> None:
        """Let every `take` end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
