"""Messages beyond the free slots: kept for a moment, then given back.

A broker may deliver more than a worker can run: RabbitMQ counts what it may send for each queue of
a worker by itself, and after a reconnect any broker sends anew although steps still run. A slot is
often free again within the moment. If not, the messages go back to their queues, where a worker
with a free slot finds them, and this one listens again when it has one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

KEPT_SECONDS = 0.25
_log = structlog.get_logger()


class Loop(Protocol):
    """What Celery's consumer offers; all but `call_soon` is for its own thread."""

    timer: Any

    def call_soon(self, call: Callable[[], None]) -> object: ...

    def cancel_task_queue(self, queue: str) -> None: ...

    def add_task_queue(self, queue: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Kept:
    """A delivered message: `admit` runs it if a slot is free now, `give_back` requeues it."""

    admit: Callable[[], bool]
    give_back: Callable[[], None]


class Overflow:
    """Belongs to the consumer's thread; `slot_freed` is called from any."""

    def __init__(self, queues: list[str], is_draining: Callable[[], bool]) -> None:
        self._queues = queues
        self._is_draining = is_draining
        self._kept: deque[Kept] = deque()
        self._loop: Loop | None = None
        self._is_paused = False

    def keep(self, loop: Loop, kept: Kept) -> None:
        """Keep a message until a slot is free, at most for a moment."""
        self._loop = loop
        self._kept.append(kept)
        if len(self._kept) == 1:
            loop.timer.call_after(KEPT_SECONDS, self._give_back)
        # A slot may have become free since it was looked for.
        loop.call_soon(self._admit)

    def slot_freed(self) -> None:
        """Admit a kept message, or listen again."""
        loop = self._loop
        if loop is not None and (self._kept or self._is_paused):
            loop.call_soon(self._admit)

    def _admit(self) -> None:
        while self._kept:
            kept = self._kept.popleft()
            if not kept.admit():
                self._kept.appendleft(kept)
                return
        if self._is_paused and not self._is_draining() and self._loop is not None:
            self._is_paused = False
            for queue in self._queues:
                self._loop.add_task_queue(queue)

    def _give_back(self) -> None:
        self._admit()
        if not self._kept or self._loop is None:
            return
        # First the ear, then the messages: else they come straight back.
        if not self._is_paused:
            self._is_paused = True
            for queue in self._queues:
                self._loop.cancel_task_queue(queue)
        _log.info("deliveries_returned", count=len(self._kept))
        while self._kept:
            self._kept.popleft().give_back()
