"""Looks at the broker every 2 s: is its data still the same, and how deep are the queues?

A canary tells whether the data is the same. When it is gone or another one, the broker has lost
its data (a flush, a restart without persistence, a failover to a stale replica), and with it all
doorbells. What the canary is, the brokers differ in.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Protocol

import structlog

from headway.broker_options import is_redis
from headway_coordinator.application.sweeping import BrokerView
from headway_coordinator.broker.rabbitmq_look import RabbitLook
from headway_coordinator.broker.redis_look import RedisLook

log = structlog.get_logger("headway.broker_watch")

_EVERY_S = 2.0
_WANTED_LIMIT = 1000


class Look(Protocol):
    """Reads one broker. It remembers the canary across connections, and connects when asked."""

    def lost(self) -> bool:
        """Return whether the broker's data was lost since the last look."""

    def depths(self, queues: Sequence[str]) -> Mapping[str, int]:
        """Return how many messages wait in each queue."""

    def close(self) -> None:
        """Give the connection up, whatever state it is in."""


class BrokerWatch:
    """A duty: `tick` looks once. `view` may be read from any thread."""

    name = "broker-watch"

    def __init__(self, url: str, holder: str) -> None:
        """`holder` is this coordinator's name, which no other has."""
        self._look: Look = RedisLook(url) if is_redis(url) else RabbitLook(url, holder)
        self._lock = threading.Lock()
        self._wanted: list[str] = []
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
            lost = self._look.lost()
            if lost:  # told at once: what follows may fail
                self._view = BrokerView({}, self._view.losses + 1, reachable=True)
            self._view = BrokerView(self._look.depths(wanted), self._view.losses, reachable=True)
        except Exception as error:  # the transports raise whatever their libraries do
            if self._view.reachable:
                log.warning("broker_unreachable", error=repr(error))
            self._view = BrokerView({}, self._view.losses, reachable=False)
            self.close()
        return _EVERY_S

    def close(self) -> None:
        try:
            self._look.close()
        except Exception as error:
            log.debug("release_failed", error=str(error))
