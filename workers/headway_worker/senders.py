"""How completions go to each kind of broker: one connection, given up after any error."""

from __future__ import annotations

from collections.abc import Sequence

from headway.broker_options import connection_arguments, declaration
from headway.protocol.envelope import redis_json
from headway.protocol.queues import EVENTS


class RedisSender:
    """Pushes all messages in one command."""

    def __init__(self, url: str, tag: str) -> None:
        from kombu import Connection, Queue

        self._connection = Connection(**connection_arguments(url))
        Queue(**declaration(EVENTS))(self._connection.default_channel).declare()
        self._tag = tag
        self._sent = 0

    def send(self, messages: Sequence[str]) -> None:
        self._sent += 1
        tagged = [
            redis_json(text, EVENTS, f"{self._tag}.{self._sent}.{number}")
            for number, text in enumerate(messages)
        ]
        self._connection.default_channel.client.lpush(EVENTS, *tagged)

    def close(self) -> None:
        self._connection.release()


class RabbitSender:
    """Publishes all messages and waits once for their confirms."""

    def __init__(self, url: str) -> None:
        from headway.rabbitmq import ConfirmingPublisher

        self._publisher = ConfirmingPublisher(url)

    def send(self, messages: Sequence[str]) -> None:
        from headway.rabbitmq import Outgoing

        self._publisher.publish([Outgoing(EVENTS, text) for text in messages])

    def close(self) -> None:
        self._publisher.close()
