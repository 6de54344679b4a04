"""Publishes dispatches and nudges from a thread of its own behind a bounded buffer.

A full buffer or a broker that is away drops doorbells: the rows stay unclaimed and the sweep finds
them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

import structlog

from headway.crash_points import crash_point
from headway.protocol.messages import Dispatch
from headway_coordinator.broker.senders import (
    NUDGE_INBOX,
    NUDGE_NOTIFICATIONS,
    NUDGE_TRIGGERS,
    Sender,
    sender,
)

log = structlog.get_logger("headway.publisher")

_BUFFER = 20_000
_BATCH = 200


class Publisher:
    """A `Doorbell`; `nudge` rings the leader's own."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._buffer: deque[Dispatch | str] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._sender: Sender | None = None
        self.published = 0
        self.dropped = 0
        self.failures = 0
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    @crash_point("doorbell.publish")
    def publish(self, dispatches: Iterable[Dispatch]) -> None:
        """Queue the dispatches; what the buffer cannot take is dropped and counted."""
        with self._wake:
            for dispatch in dispatches:
                if len(self._buffer) >= _BUFFER:
                    self.dropped += 1
                else:
                    self._buffer.append(dispatch)
            self._wake.notify()

    def nudge(self) -> None:
        """Queue a wake-up for the leader, unless one is waiting already."""
        self._nudge(NUDGE_INBOX)

    def nudge_triggers(self) -> None:
        """Queue a wake-up for what decides on events, unless one is waiting already."""
        self._nudge(NUDGE_TRIGGERS)

    def nudge_notifications(self) -> None:
        """Queue a wake-up for what sends notifications, unless one is waiting already."""
        self._nudge(NUDGE_NOTIFICATIONS)

    def _nudge(self, nudge: str) -> None:
        with self._wake:
            if nudge not in self._buffer:
                self._buffer.append(nudge)
            self._wake.notify()

    def close(self, timeout: float = 5.0) -> None:
        """Send what is buffered, as far as that goes within `timeout` seconds, and stop."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._buffer and not self._stopping:
                    self._wake.wait()
                if not self._buffer:
                    break
                batch = [self._buffer.popleft() for _ in range(min(_BATCH, len(self._buffer)))]
            self._send(batch)
        self._discard()

    @crash_point("publisher.send")
    def _send(self, batch: list[Dispatch | str]) -> None:
        """Send the batch; on a connection that had broken unseen, once more on a new one.

        What arrived of it then arrives twice, which the claim makes harmless.
        """
        had_worked = self._sender is not None
        if not self._try(batch) and had_worked:
            self._try(batch)

    def _try(self, batch: list[Dispatch | str]) -> bool:
        dispatches = [d for d in batch if not isinstance(d, str)]
        nudges = [n for n in batch if isinstance(n, str)]
        try:
            if self._sender is None:
                self._sender = sender(self._url)
            self._sender.send(dispatches, nudges)
        except Exception as error:  # the transports raise whatever their libraries do
            self.failures += 1
            log.warning("publish_failed", count=len(batch), error=repr(error))
            # Whether the messages arrived is not known. A confirm that comes late would be taken
            # for the next message's, so that nothing of this connection is used again.
            self._discard()
            return False
        self.published += len(batch)
        return True

    def _discard(self) -> None:
        found, self._sender = self._sender, None
        if found is not None:
            try:
                found.close()
            except Exception as error:
                log.debug("release_failed", error=str(error))
