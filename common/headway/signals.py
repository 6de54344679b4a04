"""Lets a signal reach an event or a call without a deadlock.

A handler runs in the main thread between any two of its instructions. If that thread is just
entering `Event.wait`, it holds the event's lock, and a handler that calls `Event.set` waits for
that lock for ever: the process ignores this signal and all that follow. `SimpleQueue.put` alone is
documented as safe there (https://docs.python.org/3/library/queue.html).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any


class Handler:
    """A signal handler that has `call` called by a thread of its own, once for each signal."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._signals: SimpleQueue[bool] = SimpleQueue()
        self._call = call
        threading.Thread(target=self._run, name="signals", daemon=True).start()

    def __call__(self, *_: Any) -> None:
        self._signals.put(True)

    def close(self) -> None:
        """Let the thread end; the handler may be called no more."""
        self._signals.put(False)

    def _run(self) -> None:
        while self._signals.get():
            self._call()
