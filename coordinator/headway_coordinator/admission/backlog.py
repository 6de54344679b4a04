"""The steps that wait for admission, by queue: higher priority first, then the longest wait."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, order=True)
class Waiting:
    """A ready step. The field order is the order of admission; `rank` is minus the priority, and
    `place` the step's index in the plan and, of a child, its item's."""

    rank: int
    ready_at: datetime
    run: str
    place: tuple[int, int]
    step: str


class Backlog:
    """A cache of what the rows say: an entry may be stale and is checked when it is taken."""

    def __init__(self) -> None:
        self._queues: dict[str, list[Waiting]] = {}

    def add(self, queue: str, waiting: Waiting) -> None:
        heapq.heappush(self._queues.setdefault(queue, []), waiting)

    def queues(self) -> Iterator[str]:
        """Yield the queues where something may wait, in a stable order."""
        yield from sorted(self._queues)

    def take(self, queue: str, room: int, waits: Callable[[Waiting], bool]) -> list[Waiting]:
        """Remove and return up to `room` entries that still wait; stale ones are dropped."""
        heap = self._queues.get(queue, [])
        taken: list[Waiting] = []
        while heap and len(taken) < room:
            entry = heapq.heappop(heap)
            if waits(entry) and (not taken or taken[-1] != entry):
                taken.append(entry)
        if not heap:
            self._queues.pop(queue, None)
        return taken

    def __len__(self) -> int:
        return sum(len(heap) for heap in self._queues.values())
