"""A broker as a test sees it, whichever it is: sends to it, counts in it, empties it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from celery import Celery
from kombu import Connection, Queue

from headway.broker_options import celery_settings, declaration, is_redis, transport_options
from headway.protocol.envelope import EMBED
from headway.protocol.queues import CANARY, EVENTS, TASK
from headway.rabbitmq import ConfirmingPublisher, Outgoing
from tests.servers.proxy import FaultProxy

# The fixture that gives each broker's address.
FIXTURES = {"redis": "redis_database", "rabbitmq": "rabbitmq_vhost"}


def through(url: str, proxy: FaultProxy) -> str:
    """Return the broker's address by way of the proxy."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@{proxy.address}" if login else proxy.address))


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

    def send_task(self, args: list[Any], queue: str, *, id: str) -> None:
        """Publish a task message for steps; on Redis with Celery's own means."""
        if self.is_redis:
            app = Celery(set_as_current=False)
            app.conf.update(celery_settings(self.url))
            app.conf.task_queues = [Queue(**declaration(queue))]
            with app:
                app.send_task(TASK, args=args, queue=queue)
            return
        headers = {"lang": "py", "task": TASK, "id": id, "root_id": id}
        publisher = ConfirmingPublisher(self.url)
        publisher.publish([Outgoing(queue, json.dumps([args, {}, EMBED]), headers=headers)])
        publisher.close()

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
