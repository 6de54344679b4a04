"""How a batch of dispatches goes to each kind of broker: in one round trip."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from kombu import Connection

from headway.broker_options import connection_arguments, is_redis
from headway.protocol.envelope import (
    redis_json,
    redis_task,
    task_headers,
    task_id,
    task_json,
)
from headway.protocol.messages import Dispatch
from headway.protocol.queues import EVENTS
from headway.rabbitmq import ConfirmingPublisher, Outgoing

NUDGE_INBOX = '{"nudge":1}'
NUDGE_TRIGGERS = '{"nudge":2}'
NUDGE_NOTIFICATIONS = '{"nudge":3}'


class Sender(Protocol):
    """One connection to a broker. After any error it is closed and never used again."""

    def send(self, dispatches: Sequence[Dispatch], nudges: Sequence[str]) -> None:
        """Hand everything to the broker in one round trip; raises whatever its library raises."""

    def close(self) -> None: ...


def sender(url: str) -> Sender:
    """Return a sender for the broker at `url`; it connects when it first sends."""
    return _RedisSender(url) if is_redis(url) else _RabbitSender(url)


class _RedisSender:
    """Pushes all messages in one round trip, one command a queue."""

    def __init__(self, url: str) -> None:
        self._connection = Connection(**connection_arguments(url))

    def send(self, dispatches: Sequence[Dispatch], nudges: Sequence[str]) -> None:
        queues: dict[str, list[bytes]] = defaultdict(list)
        for dispatch in dispatches:
            queues[dispatch.queue].append(redis_task(dispatch))
        for nudge in nudges:
            queues[EVENTS].append(redis_json(nudge, EVENTS, "nudge"))
        with self._connection.default_channel.client.pipeline(transaction=False) as pipe:
            for queue, messages in queues.items():
                pipe.lpush(queue, *messages)
            pipe.execute()

    def close(self) -> None:
        self._connection.release()


class _RabbitSender:
    """Publishes a batch and waits once for all of its confirms."""

    def __init__(self, url: str) -> None:
        self._publisher = ConfirmingPublisher(url)

    def send(self, dispatches: Sequence[Dispatch], nudges: Sequence[str]) -> None:
        messages = [
            Outgoing(d.queue, task_json(d), headers=task_headers(d), correlation_id=task_id(d))
            for d in dispatches
        ]
        messages += [Outgoing(EVENTS, nudge) for nudge in nudges]
        self._publisher.publish(messages)

    def close(self) -> None:
        self._publisher.close()
