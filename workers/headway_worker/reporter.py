"""Reports how attempts ended: to disk first, then to the broker, and by HTTP what it lost.

The broker is the quick way and is never relied upon: a completion that is not acknowledged in
time, or that cannot be published, goes to the API, again and again until it is taken or refused.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Protocol

import structlog

from headway.backoff import exponential
from headway.clock import Clock
from headway.crash_points import crash_point
from headway.errors import HeadwayError, UnavailableError
from headway.protocol.messages import CompletionBatch, Received
from headway_worker.api import Api
from headway_worker.spool import Entry, Spool

_MOST = 200
_MOST_BYTES = 4 * 1024 * 1024
_LONGEST_PAUSE = timedelta(seconds=5)
_IDLE_SECONDS = 0.5
# With several attempts in hand more completions are near: one message costs the same for ten.
_GATHER_SECONDS = 0.004
_FEW = 3
_log = structlog.get_logger()


class Publisher(Protocol):
    """Sends completions to the event queue of the broker."""

    def publish(self, bodies: Sequence[str]) -> None:
        """Hand over the bodies. Raises UnavailableError when that is not certain."""

    def close(self) -> None: ...


class Reporter:
    """Two sender threads, one to the broker and one to the API."""

    def __init__(
        self,
        spool: Spool,
        publisher: Publisher,
        api: Api,
        clock: Clock,
        *,
        patience: timedelta,
        in_hand: Callable[[], int] = lambda: 0,
    ) -> None:
        self._spool = spool
        self._publisher = publisher
        self._api = api
        self._clock = clock
        self._patience = patience.total_seconds()
        self._in_hand = in_hand
        lock = threading.Lock()
        self._arrived = threading.Condition(lock)  # wakes the publisher alone
        self._changed = threading.Condition(lock)  # wakes the resender and who waits for a flush
        self._asleep_until = 0.0  # when the resender wakes by itself
        self._ending = threading.Event()
        self._fresh: list[Entry] = []
        self._due: dict[str, float] = {}  # attempt -> when to send it by HTTP
        self._broker_failures = 0
        self._broker_again = 0.0
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._publish_all, name="publisher", daemon=True),
            threading.Thread(target=self._resend_all, name="resender", daemon=True),
        ]

    def start(self) -> None:
        """Begin, first with what earlier boots left on disk."""
        now = self._clock.monotonic()
        self._due = {entry.attempt: now for entry in self._spool.pending()}
        for thread in self._threads:
            thread.start()

    def report(self, entry: Entry) -> None:
        """Return once the completion is on disk; it will be sent until it is acknowledged."""
        self._spool.append(entry)
        with self._arrived:
            self._fresh.append(entry)
            self._arrived.notify()

    def acknowledge(self, attempts: Iterable[str]) -> None:
        """Forget what the coordinator says it has."""
        known = list(attempts)
        if not known:
            return
        self._spool.discard(known)
        with self._changed:
            for attempt in known:
                self._due.pop(attempt, None)
            self._changed.notify_all()

    def resend(self, attempts: Iterable[str]) -> None:
        """Send what the coordinator misses at once."""
        now = self._clock.monotonic()
        missed = {a: now for a in attempts if self._spool.get(a) is not None}
        if not missed:
            return
        with self._changed:
            self._due |= missed
            self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Send all that is pending now by HTTP; say whether the coordinator took it in time."""
        self.resend([entry.attempt for entry in self._spool.pending()])
        with self._changed:
            return self._changed.wait_for(lambda: not self._fresh and not self._due, timeout)

    def close(self) -> None:
        """End the threads; what is pending stays on disk."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            self._arrived.notify_all()
        self._ending.set()
        for thread in self._threads:
            thread.join(timeout=5)
        self._publisher.close()

    def _publish_all(self) -> None:
        while True:
            with self._arrived:
                self._arrived.wait_for(lambda: self._fresh or self._stopping)
                if self._stopping:
                    return
            if self._in_hand() > _FEW:
                self._ending.wait(_GATHER_SECONDS)
            with self._arrived:
                batch, self._fresh = self._fresh[:_MOST], self._fresh[_MOST:]
            published = self._publish(batch)
            due = self._clock.monotonic() + (self._patience if published else 0.0)
            with self._changed:
                for entry in batch:
                    if self._spool.get(entry.attempt) is not None:
                        self._due.setdefault(entry.attempt, due)
                if due < self._asleep_until or not self._due:
                    self._changed.notify_all()

    def _publish(self, batch: list[Entry]) -> bool:
        if self._clock.monotonic() < self._broker_again:
            return False
        try:
            self._publisher.publish([entry.sealed.model_dump_json() for entry in batch])
        except UnavailableError as error:
            self._broker_failures += 1
            pause = exponential(
                self._broker_failures, base=timedelta(milliseconds=500), cap=_LONGEST_PAUSE
            )
            self._broker_again = self._clock.monotonic() + pause.total_seconds()
            _log.warning("publish_failed", error=error.message, completions=len(batch))
            return False
        self._broker_failures = 0
        return True

    def _resend_all(self) -> None:
        failures = 0
        while True:
            with self._changed:
                entries = self._wait_due()
                if self._stopping:
                    return
            if not entries:
                continue
            if self._post(entries):
                failures = 0
                continue
            failures += 1
            pause = exponential(failures, base=timedelta(milliseconds=250), cap=_LONGEST_PAUSE)
            with self._changed:
                self._changed.wait_for(lambda: self._stopping, pause.total_seconds())

    def _wait_due(self) -> list[Entry]:
        """Return what is due, waiting for the next to become so; called with the lock held."""
        now = self._clock.monotonic()
        due = sorted((when, attempt) for attempt, when in self._due.items() if when <= now)
        if not due:
            first = min(self._due.values(), default=None)
            self._asleep_until = math.inf if first is None else first
            self._changed.wait(None if first is None else max(0.01, first - now))
            self._asleep_until = 0.0
            return []
        chosen: list[Entry] = []
        size = 0
        for _, attempt in due[:_MOST]:
            entry = self._spool.get(attempt)
            if entry is None:
                self._due.pop(attempt, None)
                continue
            size += len(entry.sealed.body)
            if chosen and size > _MOST_BYTES:
                break
            chosen.append(entry)
        return chosen

    @crash_point("api.completions")
    def _post(self, entries: list[Entry]) -> bool:
        batch = CompletionBatch(completions=[entry.sealed for entry in entries])
        try:
            received = self._api.post("completions", batch, Received)
        except HeadwayError as error:
            _log.warning("completions_not_taken", code=error.code, error=error.message)
            return False
        for attempt, reason in received.refused.items():
            _log.error("completion_refused", attempt=attempt, reason=reason)
        self.acknowledge([*received.accepted, *received.refused])
        # An answer that names neither way must not be asked for in a tight loop.
        answered = {*received.accepted, *received.refused}
        with self._changed:
            later = self._clock.monotonic() + self._patience
            for entry in entries:
                if entry.attempt not in answered:
                    self._due[entry.attempt] = later
        return True
