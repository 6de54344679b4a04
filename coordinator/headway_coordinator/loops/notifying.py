"""The loop that sends notifications, while this coordinator leads.

It has threads of its own, made when there is something to send: a receiver that does not answer
delays no run. What comes after it it does delay, until its request is given up: those that are due
are sent a few at a time, and the next ones are read when all of these have been tried.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import structlog

from headway_coordinator.application.notify_ports import Notification, Notifications
from headway_coordinator.application.ports import StorageUnavailable
from headway_coordinator.loops.leadership import Leadership

log = structlog.get_logger("headway.notifications")

_AT_ONCE = 8
_IDLE_S = 60.0  # a lost nudge costs no more than this
_AFTER_TROUBLE_S = 1.0


class NotifyLoop:
    """One `tick` sends what is due; `wake` ends its wait from any thread."""

    name = "notifications"

    def __init__(
        self,
        *,
        leadership: Leadership,
        notifications: Notifications,
        send: Callable[[Notification], None],
        now: Callable[[], datetime],
    ) -> None:
        """`now` reads the database's clock."""
        self._leadership = leadership
        self._notifications = notifications
        self._send = send
        self._now = now
        self._threads: ThreadPoolExecutor | None = None
        self._woken = threading.Event()
        self._wait_s = 0.0

    def wake(self) -> None:
        self._woken.set()

    def tick(self) -> float:
        self._woken.wait(self._wait_s)
        self._woken.clear()
        if self._leadership.hold() is None:
            self._wait_s = _IDLE_S
            return 0.0
        try:
            self._wait_s = self._work()
        except StorageUnavailable as error:
            log.warning("database_unavailable", reason=error.message)
            self._wait_s = _AFTER_TROUBLE_S
        return 0.0

    def close(self) -> None:
        """Wait for no request that is under way: what was not noted is sent again."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _work(self) -> float:
        """Send what is due; return how many seconds there is nothing to do."""
        due, following = self._notifications.waiting(_AT_ONCE)
        if due:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="notify")
            list(self._threads.map(self._send, due))
            return 0.0
        if following is None:
            return _IDLE_S
        return min(_IDLE_S, max(0.05, (following - self._now()) / timedelta(seconds=1)))
