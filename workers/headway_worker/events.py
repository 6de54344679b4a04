"""The worker's way to the event queue of the broker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headway.broker_options import declaration, transport_options
from headway.errors import UnavailableError
from headway.protocol.queues import EVENTS


class EventQueue:
    """Publishes completions; belongs to one thread. Connects when first used, and after errors."""

    def __init__(self, broker_url: str) -> None:
        self._url = broker_url
        self._connection: Any = None
        self._producer: Any = None

    def publish(self, bodies: Sequence[str]) -> None:
        """Hand the bodies to the broker, on Redis in one pipeline, on RabbitMQ one by one.

        Raises:
            UnavailableError: `broker`, some may not have arrived; the connection is given up.
        """
        try:
            producer = self._connected()
            with producer.batch(max_size=len(bodies)):
                for body in bodies:
                    _send(producer, body)
        except Exception as error:  # kombu's transports raise errors of many libraries
            self.close()
            raise UnavailableError(
                "broker", f"cannot publish: {type(error).__name__}: {error}"
            ) from error

    def close(self) -> None:
        """Give the connection up."""
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            try:
                connection.collapse() if hasattr(connection, "collapse") else connection.release()
            except Exception:  # it is being given up because it is broken
                pass

    def _connected(self) -> Any:
        if self._producer is None:
            from kombu import Connection, Producer, Queue

            self._connection = Connection(
                self._url, transport_options=transport_options(self._url), connect_timeout=5
            )
            channel = self._connection.default_channel
            Queue(**declaration(EVENTS))(channel).declare()
            self._producer = Producer(channel)
        return self._producer


def _send(producer: Any, body: str) -> None:
    producer.publish(
        body,
        exchange="",
        routing_key=EVENTS,
        content_type="application/json",
        content_encoding="utf-8",
        delivery_mode=2,
        retry=False,
    )
