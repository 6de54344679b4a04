"""The dispatch window: how many unclaimed dispatches a queue may hold.

A small window keeps order and priority in the database's hands, makes a cancel prompt and the loss
of a broker cheap; it must only be wide enough that no worker idles between two batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

_LOOKAHEAD = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Capacity:
    """A live worker: how many steps it performs at once, how many it has, and for which queues."""

    worker: str
    slots: int
    running: int
    queues: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """A queue's room: `size` unclaimed dispatches at most, `unclaimed` there now."""

    size: int
    unclaimed: int
    workers: int
    slots: int
    free: int

    @property
    def room(self) -> int:
        return max(0, self.size - self.unclaimed)


def windows(
    workers: Iterable[Capacity],
    unclaimed: Mapping[str, int],
    median: Mapping[str, timedelta],
) -> dict[str, Window]:
    """Return the window of every queue that has a live worker or an unclaimed dispatch.

    size = slots free + slots × min(1, 1 s ÷ median step time); a queue nobody serves has size 0.
    An unknown median counts as one second or less.
    """
    slots: dict[str, int] = {}
    free: dict[str, int] = {}
    serving: dict[str, int] = {}
    for worker in workers:
        for queue in worker.queues:
            slots[queue] = slots.get(queue, 0) + worker.slots
            free[queue] = free.get(queue, 0) + max(0, worker.slots - worker.running)
            serving[queue] = serving.get(queue, 0) + 1
    return {
        queue: Window(
            _size(slots.get(queue, 0), free.get(queue, 0), median.get(queue)),
            unclaimed.get(queue, 0),
            serving.get(queue, 0),
            slots.get(queue, 0),
            free.get(queue, 0),
        )
        for queue in sorted({*slots, *unclaimed})  # a set's own order is no order
    }


def _size(slots: int, free: int, median: timedelta | None) -> int:
    if median is None or median <= _LOOKAHEAD:
        return free + slots
    return free + slots * _LOOKAHEAD // median  # whole timedeltas: a float would round 1 down to 0
