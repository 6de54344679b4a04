"""Workers as numbers: for each queue one with so many slots, which takes what came first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from headway_coordinator.admission.window import Capacity
from headway_coordinator.engine.model import AttemptMade


class Slots:
    """The dispatched attempts of each queue, and those that have a slot."""

    def __init__(self, slots: Mapping[str, int]) -> None:
        self._slots = dict(slots)
        self._waiting: dict[str, deque[AttemptMade]] = {queue: deque() for queue in slots}
        self._unclaimed: dict[str, int] = dict.fromkeys(slots, 0)
        self._running: dict[str, int] = dict.fromkeys(slots, 0)
        self._queue: dict[str, str] = {}  # of each attempt that has a slot
        self._withdrawn: set[str] = set()

    def dispatch(self, made: AttemptMade) -> None:
        """Let an attempt wait in its queue."""
        self._waiting[made.queue].append(made)
        self._unclaimed[made.queue] += 1

    def claim(self) -> Iterator[AttemptMade]:
        """Give free slots to what waits, and yield what got one."""
        for queue, waiting in self._waiting.items():
            while waiting and self._running[queue] < self._slots[queue]:
                made = waiting.popleft()
                if made.attempt in self._withdrawn:
                    self._withdrawn.discard(made.attempt)
                    continue
                self._unclaimed[queue] -= 1
                self._running[queue] += 1
                self._queue[made.attempt] = queue
                yield made

    def end(self, attempt: str) -> None:
        """Free the attempt's slot, if it has one."""
        queue = self._queue.pop(attempt, None)
        if queue is not None:
            self._running[queue] -= 1

    def is_running(self, attempt: str) -> bool:
        return attempt in self._queue

    def withdraw(self, attempt: str, queue: str) -> None:
        """Take an attempt that has no slot out of its queue."""
        self._withdrawn.add(attempt)
        self._unclaimed[queue] -= 1

    def running(self) -> Mapping[str, int]:
        """Return how many attempts have a slot, by queue."""
        return self._running

    def unclaimed(self) -> Mapping[str, int]:
        return self._unclaimed

    def capacities(self) -> Iterable[Capacity]:
        """Return the workers as admission counts them; a queue without slots has none."""
        return [
            Capacity(queue, slots, self._running[queue], (queue,))
            for queue, slots in self._slots.items()
            if slots
        ]
