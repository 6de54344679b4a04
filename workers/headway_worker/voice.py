"""How a worker speaks to itself through the broker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headway.broker_options import connection_arguments, is_redis
from headway.errors import UnavailableError
from headway.protocol.envelope import probe_headers, redis_probe

# What nobody hears shall not stay in Redis for ever; on RabbitMQ the queue itself expires.
_KEPT_SECONDS = 600


class BrokerVoice:
    """Implements `Voice`; belongs to one thread. Connects when first used, and after errors."""

    def __init__(self, broker_url: str, queue: str) -> None:
        self._url = broker_url
        self._queue = queue
        self._connection: Any = None

    def send(self, probe: str) -> None:
        try:
            if is_redis(self._url):
                self._push(probe)
            else:
                self._publish(probe)
        except Exception as error:  # kombu's transports raise errors of many libraries
            self.close()
            raise UnavailableError("broker", f"cannot send a probe: {error!r}") from error

    def forsaken(self, queues: Sequence[str]) -> list[str]:
        """Return those of the queues that nobody consumes, or that are not there.

        RabbitMQ alone can tell. It forgets a consumer without a word when its queue is deleted and
        declared anew at the same moment; and it counts one that has cancelled for as long as a
        message of its own is not acknowledged. Raises UnavailableError.
        """
        if is_redis(self._url):
            return []
        try:
            return [queue for queue in queues if not self._publisher().consumers(queue)]
        except Exception as error:
            self.close()
            raise UnavailableError("broker", f"cannot look at the queues: {error!r}") from error

    def close(self) -> None:
        """Give the connection up."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Exception:  # it is being given up because it is broken
                pass

    def _push(self, probe: str) -> None:
        if self._connection is None:
            from kombu import Connection

            self._connection = Connection(**connection_arguments(self._url))
        with self._connection.default_channel.client.pipeline(transaction=False) as pipe:
            pipe.lpush(self._queue, redis_probe(self._queue, probe))
            pipe.expire(self._queue, _KEPT_SECONDS)
            pipe.execute()

    def _publish(self, probe: str) -> None:
        from headway.rabbitmq import Outgoing

        self._publisher().publish([Outgoing(self._queue, "[]", headers=probe_headers(probe))])

    def _publisher(self) -> Any:
        from headway.rabbitmq import ConfirmingPublisher

        if self._connection is None:
            self._connection = ConfirmingPublisher(self._url)
        return self._connection
