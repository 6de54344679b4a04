"""The worker's way to the event queue of the broker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from headway.broker_options import declaration, is_redis, transport_options
from headway.errors import UnavailableError
from headway.protocol.envelope import redis_json
from headway.protocol.queues import EVENTS

_MOST = 500
_LARGEST = 4 * 1024 * 1024


class EventQueue:
    """Publishes completions; belongs to one thread. Connects when first used, and after errors."""

    def __init__(self, broker_url: str, tag: str) -> None:
        self._url = broker_url
        self._connection: Any = None
        self._tag = tag
        self._sent = 0

    def publish(self, bodies: Sequence[str]) -> None:
        """Hand sealed completions (as JSON) to the broker, as few messages as their size allows.

        Raises:
            UnavailableError: `broker`, some may not have arrived; the connection is given up.
        """
        try:
            connection = self._connected()
            messages = list(_joined(bodies))
            if is_redis(self._url):
                self._sent += 1
                tagged = [
                    redis_json(text, EVENTS, f"{self._tag}.{self._sent}.{number}")
                    for number, text in enumerate(messages)
                ]
                connection.default_channel.client.lpush(EVENTS, *tagged)
            else:
                producer = connection.Producer()
                for text in messages:
                    _send(producer, text)
        except Exception as error:  # kombu's transports raise errors of many libraries
            self.close()
            raise UnavailableError(
                "broker", f"cannot publish: {type(error).__name__}: {error}"
            ) from error

    def close(self) -> None:
        """Give the connection up."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.collapse() if hasattr(connection, "collapse") else connection.release()
            except Exception:  # it is being given up because it is broken
                pass

    def _connected(self) -> Any:
        if self._connection is None:
            from kombu import Connection, Queue

            self._connection = Connection(
                self._url, transport_options=transport_options(self._url), connect_timeout=5
            )
            Queue(**declaration(EVENTS))(self._connection.default_channel).declare()
        return self._connection


def _joined(bodies: Sequence[str]) -> Iterator[str]:
    """Yield batches as JSON, each small enough for the coordinator."""
    batch: list[str] = []
    size = 0
    for body in bodies:
        if batch and (len(batch) == _MOST or size + len(body) > _LARGEST):
            yield _batch(batch)
            batch, size = [], 0
        batch.append(body)
        size += len(body)
    if batch:
        yield _batch(batch)


def _batch(bodies: Sequence[str]) -> str:
    return f'{{"completions":[{",".join(bodies)}]}}'


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
