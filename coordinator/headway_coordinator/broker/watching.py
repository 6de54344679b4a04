"""Looks at the broker every 2 s: is its data still the same, and how deep are the queues?

The canary is a key without expiry. When it is gone or another one, the broker has lost its data
(a flush, a restart without persistence, a failover to a stale replica), and with it all doorbells.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from typing import Any

import structlog
from kombu import Connection

from headway.broker_options import transport_options
from headway.protocol.queues import CANARY
from headway_coordinator.application.sweeping import BrokerView

log = structlog.get_logger("headway.broker_watch")

_EVERY_S = 2.0
_WANTED_LIMIT = 1000


class BrokerWatch:
    """A duty: `tick` looks once. `view` may be read from any thread."""

    name = "broker-watch"

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._wanted: list[str] = []
        self._connection: Connection | None = None
        self._canary: str | None = None
        self._view = BrokerView({}, 0, reachable=False)

    @property
    def view(self) -> BrokerView:
        return self._view

    def ask(self, queues: Sequence[str]) -> None:
        """Name the queues whose depth is wanted."""
        with self._lock:
            self._wanted = list(queues)[:_WANTED_LIMIT]

    def tick(self) -> float:
        with self._lock:
            wanted = list(self._wanted)
        try:
            client = self._client()
            lost = self._look_at_canary(client)
            depths = _depths(client, wanted)
            self._view = BrokerView(depths, self._view.losses + lost, reachable=True)
        except Exception as error:  # the transports raise whatever their libraries do
            if self._view.reachable:
                log.warning("broker_unreachable", error=str(error))
            self._view = BrokerView({}, self._view.losses, reachable=False)
            self.close()
        return _EVERY_S

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.release()
            except Exception as error:
                log.debug("release_failed", error=str(error))

    def _client(self) -> Any:
        if self._connection is None:
            self._connection = Connection(
                self._url, transport_options=transport_options(self._url), connect_timeout=5
            )
        return self._connection.default_channel.client

    def _look_at_canary(self, client: Any) -> bool:
        """Return whether the broker's data was lost since the last look."""
        # SET NX and GET in one: several coordinators agree on the first one's value.
        mine = secrets.token_hex(8)
        client.set(CANARY, mine, nx=True)
        found = client.get(CANARY)
        value = found.decode() if isinstance(found, bytes) else str(found)
        before, self._canary = self._canary, value
        return before is not None and before != value


def _depths(client: Any, queues: Sequence[str]) -> dict[str, int]:
    if not queues:
        return {}
    with client.pipeline(transaction=False) as pipe:
        for queue in queues:
            pipe.llen(queue)
        return dict(zip(queues, pipe.execute(), strict=True))
