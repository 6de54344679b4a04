"""Publishes dispatches and nudges from a thread of its own behind a bounded buffer.

A full buffer or a broker that is away drops doorbells: the rows stay unclaimed and the sweep finds
them. Messages have the shape of Celery's message protocol 2, so that any Celery worker and Flower
understand them: https://docs.celeryq.dev/en/stable/internals/protocol.html
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import Any

import structlog
from kombu import Connection, Producer

from headway.broker_options import transport_options
from headway.protocol.messages import Dispatch
from headway.protocol.queues import EVENTS, TASK

log = structlog.get_logger("headway.publisher")

_BUFFER = 20_000
_BATCH = 200
_EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
_NUDGE = '{"nudge":1}'


class Publisher:
    """A `Doorbell`; `nudge` rings the leader's own."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._buffer: deque[Dispatch | None] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._connection: Connection | None = None
        self._producer: Producer | None = None
        self.published = 0
        self.dropped = 0
        self.failures = 0
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

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
        with self._wake:
            if None not in self._buffer:
                self._buffer.append(None)
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

    def _send(self, batch: list[Dispatch | None]) -> None:
        try:
            producer = self._connected()
            with producer.batch(max_size=_BATCH):
                for dispatch in batch:
                    if dispatch is None:
                        _publish_nudge(producer)
                    else:
                        _publish(producer, dispatch)
            self.published += len(batch)
        except Exception as error:  # the transports raise whatever their libraries do
            self.failures += 1
            log.warning("publish_failed", count=len(batch), error=str(error))
            # Whether the messages arrived is not known. A confirm that comes late would be taken
            # for the next message's, so that nothing of this connection is used again.
            self._discard()

    def _connected(self) -> Producer:
        if self._producer is None:
            options = transport_options(self._url)
            self._connection = Connection(
                self._url, transport_options=options, connect_timeout=5, heartbeat=0
            )
            self._producer = Producer(self._connection.default_channel, auto_declare=False)
        return self._producer

    def _discard(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            try:
                connection.release()
            except Exception as error:
                log.debug("release_failed", error=str(error))


def _publish_nudge(producer: Producer) -> None:
    producer.publish(
        _NUDGE,
        exchange="",
        routing_key=EVENTS,
        content_type="application/json",
        content_encoding="utf-8",
        retry=False,
    )


def _publish(producer: Producer, dispatch: Dispatch) -> None:
    id = f"{dispatch.attempt}.{dispatch.dispatch_no}"
    headers: dict[str, Any] = {
        "lang": "py",
        "task": TASK,
        "id": id,
        "root_id": id,
        "parent_id": None,
        "group": None,
        "retries": 0,
        "eta": None,
        "expires": None,
        "timelimit": [None, None],
        "argsrepr": dispatch.attempt,
        "kwargsrepr": "{}",
        "ignore_result": True,
    }
    producer.publish(
        [[dispatch.model_dump()], {}, _EMBED],
        exchange="",
        routing_key=dispatch.queue,
        serializer="json",
        headers=headers,
        correlation_id=id,
        delivery_mode=2,
        retry=False,
    )
