"""What the broker and the API have for the leader: completions and nudges, in arrival order."""

from __future__ import annotations

import threading
from collections import deque

from headway_coordinator.application.batch import Incoming


class Mailbox:
    """A queue between the consumer's thread and the leader's; the prefetch bounds it."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._incoming: deque[Incoming] = deque()
        self._nudged = False

    def put(self, incoming: Incoming) -> None:
        with self._condition:
            self._incoming.append(incoming)
            self._condition.notify()

    def nudge(self) -> None:
        """Wake the leader: there is something in the inbox, or its leadership changed."""
        with self._condition:
            self._nudged = True
            self._condition.notify()

    def take(self, limit: int, timeout: float) -> tuple[list[Incoming], bool]:
        """Wait up to `timeout` seconds for something; return up to `limit` events and the nudge."""
        with self._condition:
            if not self._incoming and not self._nudged and timeout > 0:
                self._condition.wait(timeout)
            taken = [self._incoming.popleft() for _ in range(min(limit, len(self._incoming)))]
            nudged, self._nudged = self._nudged, False
            return taken, nudged

    def put_back(self, incoming: list[Incoming]) -> None:
        with self._condition:
            self._incoming.extendleft(reversed(incoming))

    def clear(self) -> list[Incoming]:
        """Remove and return everything; for a leader that steps down."""
        with self._condition:
            left = list(self._incoming)
            self._incoming.clear()
            return left

    def __len__(self) -> int:
        return len(self._incoming)
