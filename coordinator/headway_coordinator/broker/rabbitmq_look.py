"""Canary and queue depths on RabbitMQ: a queue of its own for each coordinator, and declarations.

A canary queue is gone when the broker was emptied or set up anew. Each coordinator has its own,
because whoever finds it gone declares it again, and the others would not notice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from amqp.exceptions import NotFound
from kombu import Connection, Queue

from headway.broker_options import connection_arguments, declaration
from headway.protocol.queues import CANARY

_UNUSED_MS = 3_600_000


class RabbitLook:
    """Implements `Look`."""

    def __init__(self, url: str, holder: str) -> None:
        self._url = url
        self._connection: Connection | None = None
        self._canary = f"{CANARY}.{holder}"
        self._is_known = False

    def lost(self) -> bool:
        if not self._is_known:
            self._declare_canary()
            self._is_known = True
            return False
        try:
            # That it is declared again and again also keeps the broker from expiring it.
            self._channel().queue_declare(self._canary, passive=True)
        except NotFound:
            self.close()  # the error has closed the channel
            self._declare_canary()
            return True
        return False

    def depths(self, queues: Sequence[str]) -> Mapping[str, int]:
        """Return what waits; a queue that is not there is declared, and holds nothing."""
        channel = self._channel()
        found = {}
        for queue in queues:
            answer = Queue(**declaration(queue)).queue_declare(channel=channel)
            found[queue] = int(answer.message_count)
        return found

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.collect(socket_timeout=1)

    def _declare_canary(self) -> None:
        self._channel().queue_declare(
            self._canary,
            durable=True,
            auto_delete=False,
            arguments={"x-queue-type": "quorum", "x-expires": _UNUSED_MS},
        )

    def _channel(self) -> Any:
        if self._connection is None:
            self._connection = Connection(**connection_arguments(self._url), heartbeat=0)
        return self._connection.default_channel
