"""Publishes dispatches and nudges from a thread of its own behind a bounded buffer.

A full buffer or a broker that is away drops doorbells: the rows stay unclaimed and the sweep finds
them.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence

import structlog
from kombu import Connection, Producer

from headway.broker_options import is_redis, transport_options
from headway.protocol.envelope import (
    redis_json,
    redis_task,
    task_arguments,
    task_headers,
    task_id,
)
from headway.protocol.messages import Dispatch
from headway.protocol.queues import EVENTS

log = structlog.get_logger("headway.publisher")

_BUFFER = 20_000
_BATCH = 200
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
        dispatches = [d for d in batch if d is not None]
        try:
            connection = self._connected()
            if is_redis(self._url):
                _push(connection, dispatches, nudge=None in batch)
            else:
                _publish(connection, dispatches, nudge=None in batch)
            self.published += len(batch)
        except Exception as error:  # the transports raise whatever their libraries do
            self.failures += 1
            log.warning("publish_failed", count=len(batch), error=str(error))
            # Whether the messages arrived is not known. A confirm that comes late would be taken
            # for the next message's, so that nothing of this connection is used again.
            self._discard()

    def _connected(self) -> Connection:
        if self._connection is None:
            options = transport_options(self._url)
            self._connection = Connection(
                self._url, transport_options=options, connect_timeout=5, heartbeat=0
            )
        return self._connection

    def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.release()
            except Exception as error:
                log.debug("release_failed", error=str(error))


def _push(connection: Connection, dispatches: Sequence[Dispatch], *, nudge: bool) -> None:
    """Push all messages in one round trip, one command a queue."""
    queues: dict[str, list[bytes]] = defaultdict(list)
    for dispatch in dispatches:
        queues[dispatch.queue].append(redis_task(dispatch))
    if nudge:
        queues[EVENTS].append(redis_json(_NUDGE, EVENTS, "nudge"))
    with connection.default_channel.client.pipeline(transaction=False) as pipe:
        for queue, messages in queues.items():
            pipe.lpush(queue, *messages)
        pipe.execute()


def _publish(connection: Connection, dispatches: Sequence[Dispatch], *, nudge: bool) -> None:
    """Publish through kombu, one by one."""
    producer = Producer(connection.default_channel, auto_declare=False)
    for dispatch in dispatches:
        producer.publish(
            task_arguments(dispatch),
            exchange="",
            routing_key=dispatch.queue,
            serializer="json",
            headers=task_headers(dispatch),
            correlation_id=task_id(dispatch),
            delivery_mode=2,
            retry=False,
        )
    if nudge:
        producer.publish(
            _NUDGE,
            exchange="",
            routing_key=EVENTS,
            content_type="application/json",
            content_encoding="utf-8",
            retry=False,
        )
