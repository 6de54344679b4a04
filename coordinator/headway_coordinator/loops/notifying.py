"""The loop that sends notifications, while this coordinator leads.

It has threads of its own, made when there is something to send: a receiver that does not answer
delays no run. A thread that is done takes the next one that is due, and one host has half of the
threads at the most: a receiver that does not answer delays its own notifications, and not those to
others.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import structlog

from headway.spec.secrets import PREFIX
from headway_coordinator.application.notify_ports import Notification, Notifications
from headway_coordinator.application.ports import StorageUnavailable
from headway_coordinator.loops.leadership import Leadership

log = structlog.get_logger("headway.notifications")

_AT_ONCE = 8
_A_HOST = _AT_ONCE // 2
_PAGE = 100
_PAGES = 20  # read in one go, when those to hosts that have no thread free come first
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
        self._lock = threading.Lock()
        self._under_way: dict[str, tuple[str, str]] = {}  # where each goes, by its id
        self._trouble = False
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
        """Begin what is due and has a thread; return how many seconds there is nothing to do.

        A thread that is done wakes the loop.
        """
        if self._trouble:
            self._trouble = False
            return _AFTER_TROUBLE_S
        full: set[tuple[str, str]] = set()
        following: datetime | None = None
        for _ in range(_PAGES):
            with self._lock:
                under_way = dict(self._under_way)
            if len(under_way) >= _AT_ONCE:
                return _IDLE_S
            due, following = self._notifications.waiting(_PAGE, but=under_way, not_to=full)
            if not due:
                break
            full |= self._begin(due, under_way)
        if following is None:
            return _IDLE_S
        return min(_IDLE_S, max(0.05, (following - self._now()) / timedelta(seconds=1)))

    def _begin(
        self, due: Sequence[Notification], under_way: Mapping[str, tuple[str, str]]
    ) -> set[tuple[str, str]]:
        """Send as many as there are threads; return the teams and addresses that have none left."""
        taken = Counter(under_way.values())
        full = set()
        for each in due:
            if taken.total() == _AT_ONCE:
                break
            where = destination(each)
            if taken[where] == _A_HOST:
                full.add((each.team, each.webhook))
                continue
            taken[where] += 1
            self._submit(each, where)
        return full

    def _submit(self, each: Notification, where: tuple[str, str]) -> None:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="notify")
        with self._lock:
            self._under_way[each.id] = where
        self._threads.submit(self._send_one, each)

    def _send_one(self, each: Notification) -> None:
        """Send it. How a try ended that could not be noted is told here: nobody waits for it."""
        try:
            self._send(each)
        except StorageUnavailable as error:
            self._trouble = True
            log.warning("database_unavailable", reason=error.message)
        except Exception as error:  # its text may hold the address
            self._trouble = True
            log.error("notification_not_noted", notification=each.id, error=type(error).__name__)
        finally:
            with self._lock:
                del self._under_way[each.id]
            self._woken.set()


def destination(each: Notification) -> tuple[str, str]:
    """Return what the threads are shared by: the host, or else the team and what it wrote."""
    if not each.webhook.startswith(PREFIX):
        try:
            return "", urlsplit(each.webhook).hostname or each.webhook
        except ValueError:
            pass
    return each.team, each.webhook
