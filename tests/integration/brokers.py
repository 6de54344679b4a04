"""A broker as a test sees it, whichever it is: sends to it, counts in it, empties it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kombu import Connection, Queue

from headway.broker_options import declaration, is_redis, transport_options
from headway.protocol.queues import CANARY, EVENTS
from headway.rabbitmq import ConfirmingPublisher, Outgoing

# The fixture that gives each broker's address.
FIXTURES = {"redis": "redis_database", "rabbitmq": "rabbitmq_vhost"}


class Broker:
    """One database of a Redis, or one virtual host of a RabbitMQ."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_redis = is_redis(url)

    def connection(self) -> Connection:
        return Connection(self.url, transport_options=transport_options(self.url))

    def send(self, *bodies: str, queue: str = EVENTS) -> None:
        """Publish texts as JSON, as any program that knows the address could."""
        if not self.is_redis:
            publisher = ConfirmingPublisher(self.url)
            publisher.publish([Outgoing(queue, body) for body in bodies])
            publisher.close()
            return
        with self.connection() as connection:
            producer = connection.Producer()
            for body in bodies:
                producer.publish(
                    body,
                    exchange="",
                    routing_key=queue,
                    content_type="application/json",
                    content_encoding="utf-8",
                )

    def depth(self, queue: str) -> int:
        """Return how many messages wait in the queue."""
        with self.connection() as connection:
            answer = Queue(**declaration(queue)).queue_declare(channel=connection.default_channel)
            return int(answer.message_count)

    def lose_data(self, *, holders: Iterable[str], queues: Iterable[str] = ()) -> None:
        """Make it forget these queues and the canaries, as after a start without its data."""
        with self.connection() as connection:
            channel: Any = connection.default_channel
            if self.is_redis:
                channel.client.flushdb()
                return
            for queue in (*queues, *(f"{CANARY}.{holder}" for holder in holders)):
                channel.queue_delete(queue)
