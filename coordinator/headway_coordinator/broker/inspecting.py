"""What the broker is and how it is set, as far as it tells its own clients."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import redis.exceptions
from amqp.exceptions import AccessRefused, NotFound, PreconditionFailed
from kombu import Connection, Producer, Queue

from headway.broker_options import connection_arguments, declaration, is_redis
from headway.errors import UnavailableError
from headway_coordinator.application.facts import AmqpFacts, BrokerFacts, RedisFacts

_PROBE = "headway.doctor.nobody"  # a queue that is not there: the broker drops the message
_PROBE_WAIT_S = 1.0


def inspect_broker(url: str) -> BrokerFacts:
    """Return the facts; nothing is left on the broker.

    Raises:
        UnavailableError: it cannot be reached, or refuses the sign-in.
        DefinitionError: this is no broker's address.
    """
    with _connected(url) as connection:
        return _redis(connection) if is_redis(url) else _amqp(connection)


def foreign_queues(url: str, queues: Iterable[str]) -> dict[str, str]:
    """Return those queues that are there, but not of the kind that Headway declares, and the
    server's words for it. None on Redis, which has one kind. Raises as `inspect_broker`."""
    if is_redis(url):
        return {}
    with _connected(url) as connection:
        told = {queue: _unlike_ours(connection, queue) for queue in queues}
    return {queue: words for queue, words in told.items() if words is not None}


@contextlib.contextmanager
def _connected(url: str) -> Iterator[Connection]:
    arguments = connection_arguments(url)
    try:
        with Connection(**arguments) as connection:
            yield connection
    except Exception as error:  # the transports raise whatever their libraries do
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise UnavailableError(
            "broker_unavailable", f"the broker does not answer: {said}", "check HEADWAY_BROKER_URL"
        ) from error


def _redis(connection: Connection) -> RedisFacts:
    client: Any = connection.default_channel.client
    client.ping()
    server, store = _info(client, "server"), _info(client, "persistence")
    memory, stats = _info(client, "memory"), _info(client, "stats")
    append_only = store.get("aof_enabled")
    failed = [store.get(key) for key in ("aof_last_write_status", "rdb_last_bgsave_status")]
    return RedisFacts(
        version=str(server.get("valkey_version") or server.get("redis_version") or "unknown"),
        is_replica=_info(client, "replication").get("role") in ("slave", "replica"),
        append_only=None if append_only is None else bool(append_only),
        snapshots=_takes_snapshots(client),
        write_failed="err" in failed if store else None,
        eviction=memory.get("maxmemory_policy"),
        memory_used=memory.get("used_memory"),
        memory_limit=memory.get("maxmemory"),
        evicted=stats.get("evicted_keys"),
    )


def _info(client: Any, section: str) -> Mapping[str, Any]:
    """Return a section of INFO; nothing where this user may not ask."""
    try:
        found = client.info(section)
    except redis.exceptions.ResponseError:
        return {}
    return found if isinstance(found, dict) else {}


def _takes_snapshots(client: Any) -> bool | None:
    try:
        return bool(client.config_get("save").get("save"))
    except redis.exceptions.ResponseError:
        return None  # many do not let their clients ask


def _amqp(connection: Connection) -> AmqpFacts:
    """Publish a message that goes nowhere: the broker says `blocked` only to those who publish."""
    link: Any = connection.connection
    blocked: list[str] = []
    link.on_blocked = blocked.append
    Producer(connection.channel()).publish(b"", exchange="", routing_key=_PROBE)
    with contextlib.suppress(TimeoutError):
        link.drain_events(timeout=_PROBE_WAIT_S)
    properties = link.server_properties
    if blocked:
        connection.collect()  # it reads nothing more of us, so a farewell would wait for ever
    return AmqpFacts(
        product=str(properties.get("product", "an AMQP broker")),
        version=str(properties.get("version", "unknown")),
        blocked=bool(blocked),
    )


def _unlike_ours(connection: Connection, queue: str) -> str | None:
    """Declare the queue as Headway does, if it is there; return what the server has against it."""
    try:
        connection.channel().queue_declare(queue, passive=True)
        Queue(**declaration(queue)).queue_declare(channel=connection.channel())
    except (NotFound, AccessRefused):
        return None  # not there, or this user may not declare it
    except PreconditionFailed as error:
        return str(error.reply_text)
    return None
