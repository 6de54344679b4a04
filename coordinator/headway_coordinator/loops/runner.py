"""Runs duties in threads: the interval, the stop and the last line of error handling."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import structlog

log = structlog.get_logger("headway.loops")


class Duty(Protocol):
    """Something to be done again and again."""

    name: str

    def tick(self) -> float:
        """Do one bounded unit of work; return the seconds until the next."""


class Runner:
    """Threads that tick their duties until `stop`. A duty that raises is counted and goes on."""

    def __init__(self, on_error: Callable[[str], None] = lambda name: None) -> None:
        self._stop = threading.Event()
        self._on_error = on_error
        self._threads: list[threading.Thread] = []

    def start(self, duty: Duty) -> None:
        thread = threading.Thread(target=self._run, args=(duty,), name=duty.name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def ask(self) -> None:
        """Ask all threads to end, and return at once; a duty that waits may then be woken."""
        self._stop.set()

    def stop(self, timeout: float = 10.0) -> None:
        """Ask all threads to end and wait for each up to `timeout` seconds."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout)

    def _run(self, duty: Duty) -> None:
        while not self._stop.is_set():
            try:
                pause = duty.tick()
            except Exception:
                log.exception("duty_failed", duty=duty.name)
                self._on_error(duty.name)
                pause = 1.0
            self._stop.wait(pause)
