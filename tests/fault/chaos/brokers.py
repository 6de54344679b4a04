"""The brokers that chaos can break: each keeps its port, and none keeps its data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from headway.protocol.queues import CANARY, EVENTS, step_queue
from tests.fault.chaos.pipelines import CLASSES, TEAMS
from tests.servers import rabbitmq, redis
from tests.servers.sources import missing, temporary_folder

HOLDERS = ("engine-one", "engine-two")  # each engine has a canary of its own on RabbitMQ


class Broker(Protocol):
    """A broker of our own. Another kind need only do the same."""

    @property
    def url(self) -> str: ...

    def kill(self) -> None:
        """Kill it, and let it lose what it held."""

    def start(self) -> None:
        """Start it again, empty; does nothing while it runs."""

    def wipe(self) -> None:
        """Delete all that it holds, while it runs."""


class Rabbit:
    """A private RabbitMQ node, of which one virtual host is used."""

    def __init__(self, node: rabbitmq.Node) -> None:
        self._node = node
        self._runs = False
        self.url = f"{node.url}/{node.hosts()[0]}"
        self.start()

    def kill(self) -> None:
        self._node.kill()
        self._node.wipe()
        self._runs = False

    def start(self) -> None:
        if not self._runs:
            self._node.start()
            self._runs = True

    def wipe(self) -> None:
        """Delete the queues, with what lies in them."""
        from kombu import Connection

        steps = [step_queue(team, name) for team in TEAMS for name in CLASSES]
        with Connection(self.url, connect_timeout=5) as connection:
            for queue in (*steps, EVENTS, *(f"{CANARY}.{holder}" for holder in HOLDERS)):
                connection.default_channel.queue_delete(queue)


@contextmanager
def _rabbit() -> Iterator[Broker]:
    if not rabbitmq.installed():
        missing("RabbitMQ", rabbitmq.HINT)
    with temporary_folder("rabbitmq") as folder:
        node = rabbitmq.Node(folder)
        try:
            yield Rabbit(node)
        finally:
            node.close()


@contextmanager
def _redis() -> Iterator[Broker]:
    with redis.restartable() as server:
        yield server


_BROKERS = {"rabbitmq": _rabbit, "redis": _redis}
NAMES = tuple(_BROKERS)


def broker(name: str) -> AbstractContextManager[Broker]:
    """Give a broker by its name; it runs."""
    return _BROKERS[name]()
