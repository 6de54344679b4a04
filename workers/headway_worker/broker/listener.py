"""The thread that takes steps' messages, and connects anew whenever that breaks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

import structlog

from headway.backoff import exponential
from headway.errors import UnavailableError
from headway_worker.broker.contract import Ring, Source

_LONGEST_PAUSE = timedelta(seconds=2)
_END_SECONDS = 2.0
_log = structlog.get_logger()


class Door(Protocol):
    """Where the messages go: `Intake`."""

    is_draining: bool

    def room(self) -> int:
        """Return how many steps can be taken now."""

    def take(self, ring: Ring) -> None:
        """Run the message's step, or refuse it."""


class Listener:
    """Runs between `start` and `end`; every other method may be called from any thread."""

    def __init__(self, connect: Callable[[], Source], door: Door) -> None:
        """`connect` returns a new connection, or raises UnavailableError."""
        self._connect = connect
        self._door = door
        self._source: Source | None = None
        self._ended = threading.Event()
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Tell that a slot is free, or that the worker drains."""
        if (source := self._source) is not None:
            source.wake()

    def reconnect(self) -> None:
        """Connect anew, as if the broker had cut the connection."""
        if (source := self._source) is not None:
            source.break_off()

    def end(self) -> None:
        """Take nothing any more. What was popped at this moment is given back, or rung again."""
        self._ended.set()
        if self._thread.is_alive():
            self.reconnect()
            self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                source = self._source = self._connect()
                try:
                    self._listen(source)
                finally:
                    self._source = None
                    source.close()
            except UnavailableError as error:
                if not self._ended.is_set():
                    _log.warning("broker_lost", error=error.message)
            except Exception:  # a defect costs a connection, and no step
                _log.exception("listener_broke")
            self._failures += 1
            pause = exponential(
                self._failures, base=timedelta(milliseconds=200), cap=_LONGEST_PAUSE
            )
            self._ended.wait(pause.total_seconds())

    def _listen(self, source: Source) -> None:
        is_paused = False
        while not self._ended.is_set():
            if self._door.is_draining and not is_paused:
                is_paused = True
                source.pause()
            for ring in source.take(0 if is_paused else self._door.room()):
                self._hand_over(ring)
            self._failures = 0

    def _hand_over(self, ring: Ring) -> None:
        try:
            self._door.take(ring)
        except Exception:  # a defect costs this message, which is rung again, and no other
            _log.exception("message_broke", queue=ring.queue)
            ring.done()
