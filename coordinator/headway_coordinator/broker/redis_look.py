"""Canary and queue depths on Redis: a key without expiry, and the lengths of lists."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from kombu import Connection

from headway.broker_options import connection_arguments
from headway.protocol.queues import CANARY


class RedisLook:
    """Implements `Look`. All coordinators share one canary."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None
        self._canary: str | None = None

    def lost(self) -> bool:
        # SET NX and GET: several coordinators agree on the first one's value.
        with self._client().pipeline(transaction=False) as pipe:
            pipe.set(CANARY, secrets.token_hex(8), nx=True)
            pipe.get(CANARY)
            _, found = pipe.execute()
        value = found.decode() if isinstance(found, bytes) else str(found)
        before, self._canary = self._canary, value
        return before is not None and before != value

    def depths(self, queues: Sequence[str]) -> Mapping[str, int]:
        if not queues:
            return {}
        with self._client().pipeline(transaction=False) as pipe:
            for queue in queues:
                pipe.llen(queue)
            return dict(zip(queues, pipe.execute(), strict=True))

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()

    def _client(self) -> Any:
        if self._connection is None:
            self._connection = Connection(**connection_arguments(self._url))
        return self._connection.default_channel.client
