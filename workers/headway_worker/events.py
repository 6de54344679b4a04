"""The worker's way to the event queue of the broker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headway.broker_options import declaration, is_redis, transport, transport_options
from headway.errors import UnavailableError
from headway.protocol.envelope import redis_json
from headway.protocol.queues import EVENTS

_MOST = 500
_LARGEST = 4 * 1024 * 1024


class EventQueue:
    """Publishes completions; belongs to one thread. Connects when first used, and after errors."""

    def __init__(self, broker_url: str, tag: str) -> None:
        self._url = broker_url
        self._tag = tag
        self._sender: _RedisSender | _RabbitSender | None = None

    def publish(self, bodies: Sequence[str]) -> None:
        """Hand sealed completions (as JSON) to the broker, as few messages as their size allows.

        Raises:
            UnavailableError: `broker`, some may not have arrived; the connection is given up.
        """
        try:
            if self._sender is None:
                redis = is_redis(self._url)
                self._sender = (
                    _RedisSender(self._url, self._tag) if redis else _RabbitSender(self._url)
                )
            self._sender.send(list(_joined(bodies)))
        except Exception as error:  # kombu's transports raise errors of many libraries
            self.close()
            raise UnavailableError(
                "broker", f"cannot publish: {type(error).__name__}: {error}"
            ) from error

    def _new_sender(self) -> _RedisSender | _RabbitSender:
        if is_redis(self._url):
            return _RedisSender(self._url, self._tag)
        return _RabbitSender(self._url)

    def close(self) -> None:
        """Give the connection up."""
        sender, self._sender = self._sender, None
        if sender is not None:
            try:
                sender.close()
            except Exception:  # it is being given up because it is broken
                pass


class _RedisSender:
    def __init__(self, url: str, tag: str) -> None:
        from kombu import Connection, Queue

        self._connection = Connection(
            url,
            transport=transport(url),
            transport_options=transport_options(url),
            connect_timeout=5,
        )
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


class _RabbitSender:
    def __init__(self, url: str) -> None:
        from headway.rabbitmq import ConfirmingPublisher

        self._publisher = ConfirmingPublisher(url)

    def send(self, messages: Sequence[str]) -> None:
        from headway.rabbitmq import Outgoing

        self._publisher.publish([Outgoing(EVENTS, text) for text in messages])

    def close(self) -> None:
        self._publisher.close()


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
