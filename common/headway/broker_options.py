"""The one place that says how Headway's processes speak to the broker.

Coordinator, worker and Flower take their settings here, so that no two of them differ: the
shortest visibility timeout or the wrong acknowledgement mode of one reader is everybody's.
Pure: it gives plain values and imports neither Celery nor kombu.
"""

from __future__ import annotations

from typing import Any

from headway.broker_address import BrokerAddress, parse
from headway.protocol.queues import is_probe_queue

_REDIS_SCHEMES = ("redis", "rediss", "redis+socket", "sentinel", "valkey", "valkeys")
_TRANSPORTS = {
    "redis": "headway.redis_transport:Transport",
    "rediss": "headway.redis_transport:SecureTransport",
    "sentinel": "headway.redis_transport:SentinelTransport",
}
# Sentinels are asked in turn, each time that something connects: one that is gone must cost little.
_SENTINEL_TIMES = {"socket_timeout": 3, "socket_connect_timeout": 2}


# Whoever connects has a loop of its own that tries again, and can do something else meanwhile.
_NO_RETRIES = {"max_retries": 0, "interval_start": 0.1, "interval_step": 0.1, "interval_max": 1}


_PROBE_QUEUE_EXPIRES_MS = 600_000


def is_redis(broker_url: str) -> bool:
    """Say whether the broker is Redis or speaks its protocol."""
    return broker_url.partition("://")[0] in _REDIS_SCHEMES


def connection_arguments(broker_url: str) -> dict[str, Any]:
    """Return the arguments of `kombu.Connection` for a broker.

    Raises:
        DefinitionError: it is no broker's address.
    """
    address = parse(broker_url)
    return {
        "hostname": address.url,
        "transport": _TRANSPORTS.get(address.scheme),
        "transport_options": transport_options(broker_url),
        "ssl": address.tls or False,
        "connect_timeout": 5,
    }


def transport(broker_url: str) -> str | None:
    """Return the name of kombu's transport for a broker; None leaves it to the URL's scheme.

    Every consumer takes it: kombu's own for Redis breaks on what is no message.
    """
    return _TRANSPORTS.get(parse(broker_url).scheme)


def transport_options(broker_url: str) -> dict[str, Any]:
    """Return kombu's `transport_options` for a broker.

    On Redis without acknowledgement emulation: nothing is ever recovered by the broker, the
    database does that, so its bookkeeping (and the messages it doubles) are of no use.
    """
    if is_redis(broker_url):
        return {
            "ack_emulation": False,
            "socket_timeout": 15,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 25,
            "retry_on_timeout": False,  # a repeated push is a doubled message
            "priority_steps": [0],
            **_NO_RETRIES,
            **_sentinel_options(parse(broker_url)),
        }
    if broker_url.startswith(("amqp", "pyamqp")):
        # Without a bound a full or blocked broker would hold a publisher for ever.
        return {"connect_timeout": 5, "read_timeout": 15, "write_timeout": 5, **_NO_RETRIES}
    return {}


def _sentinel_options(address: BrokerAddress) -> dict[str, Any]:
    if address.master_name is None:
        return {}
    # Who speaks TLS to the master speaks it to those who know where it is.
    tls = {"ssl": True, **address.tls} if address.tls else {}
    asking = {**_SENTINEL_TIMES, **tls, **(address.sentinel or {})}
    return {"master_name": address.master_name, "sentinel_kwargs": asking}


def celery_settings(broker_url: str) -> dict[str, Any]:
    """Return the configuration of the Celery app for a broker."""
    arguments = connection_arguments(broker_url)
    return {
        "broker_url": arguments["hostname"],
        "broker_transport": arguments["transport"],
        "broker_transport_options": arguments["transport_options"],
        "broker_use_ssl": arguments["ssl"],
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "broker_heartbeat": None if is_redis(broker_url) else 30,
        "broker_pool_limit": 8,
        "task_acks_late": True,
        "task_acks_on_failure": True,
        "task_acks_on_timeout": True,
        "task_reject_on_worker_lost": False,
        "task_retry_on_worker_lost": False,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_serializer": "json",
        "task_create_missing_queues": False,
        "task_publish_retry": False,
        "task_send_sent_event": False,
        "result_backend": None,
        "accept_content": ["json"],
        "event_serializer": "json",
        "worker_pool": "threads",
        "worker_prefetch_multiplier": 1,
        "worker_send_task_events": False,
        "worker_disable_rate_limits": True,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
    }


def declaration(name: str) -> dict[str, Any]:
    """Return the arguments of `kombu.Queue` for the queue `name`.

    On RabbitMQ a quorum queue, or for a worker's own a plain one that expires without it; Redis
    knows one kind only. Publish to it through the default
    exchange (`exchange=""`, `routing_key=name`), which costs Redis no look-up; the exchange of its
    own is what Flower and `inspect` show.
    """
    if is_probe_queue(name):
        return {
            "name": name,
            "exchange": "",
            "routing_key": name,
            "durable": True,
            "queue_arguments": {"x-expires": _PROBE_QUEUE_EXPIRES_MS},
        }
    return {
        "name": name,
        "exchange": name,
        "routing_key": name,
        "durable": True,
        "queue_arguments": {"x-queue-type": "quorum"},
    }
