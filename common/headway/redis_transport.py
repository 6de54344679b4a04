"""Kombu's Redis transport, which drops what is no message instead of breaking on it.

A Redis list holds whatever anybody pushed. kombu decodes it while it reads the socket, and what
that raises ends a Celery worker, or costs another consumer its connection. Here such an element is
dropped, counted and said once; the consumer and its connection go on. Errors of the broker and of
the consumer's own code are raised as ever.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterable, Mapping
from functools import cache
from queue import Empty
from typing import Any

import structlog
from kombu import connection as kombu_connection
from kombu import transport as kombu_transport
from kombu.transport import redis as kombu_redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from headway.refusals import Refusal, Refusals

_log = structlog.get_logger("headway.redis")


def count_refusals(connection: Any, refusals: Refusals) -> None:
    """Let `refusals` count what a connection to Redis drops; others drop nothing."""
    if isinstance(connection.transport, Dropping):
        connection.transport.refusals = refusals


def flaw(envelope: Any) -> str | None:
    """Return why a decoded element is no message; None if kombu and Celery can take it."""
    if not isinstance(envelope, dict):
        return f"it is a {type(envelope).__name__}, not an object"
    properties, headers = envelope.get("properties"), envelope.get("headers")
    if not isinstance(properties, dict) or not isinstance(properties.get("delivery_tag"), str):
        return "it has no properties with a delivery_tag"
    where = properties.get("delivery_info")
    if not isinstance(where, dict) or not _are_texts(where, "exchange", "routing_key"):
        return "its delivery_info does not say exchange and routing_key"
    if headers is not None and not isinstance(headers, dict):
        return "its headers are not an object"
    if headers and headers.get("compression"):
        return "its body is compressed, which nothing here does"
    for name in ("content-type", "content-encoding"):
        if not isinstance(envelope.get(name), str | None):
            return f"its {name} is not a text"
    return _flaw_of_body(envelope.get("body"), properties.get("body_encoding"))


def _flaw_of_body(body: Any, encoding: Any) -> str | None:
    if not isinstance(body, str | bytes):
        return "its body is not a text"
    if encoding is None:
        return None
    if encoding != "base64":
        return "its body_encoding is unknown"
    try:
        base64.b64decode(body.encode() if isinstance(body, str) else body)
    except ValueError:
        return "its body is not base64, as it says"
    return None


def _are_texts(found: dict[str, Any], *names: str) -> bool:
    return all(isinstance(found.get(name), str) for name in names)


class Guarded(kombu_redis.Channel):  # type: ignore[misc]
    """A channel that drops what cannot be decoded, and goes on with the next element."""

    def _brpop_read(self, **options: Any) -> Any:
        return self._guarded(self.client, self.active_queues, super()._brpop_read, **options)

    def _receive_one(self, subscription: Any) -> Any:
        return self._guarded(
            subscription, self.active_fanout_queues, super()._receive_one, subscription
        )

    def _guarded(
        self, client: Any, queues: Iterable[str], read: Any, *args: Any, **options: Any
    ) -> Any:
        transport = self.connection
        transport.raised = None
        try:
            return read(*args, **options)
        except (Empty, RedisError, *transport.connection_errors, *transport.channel_errors):
            raise
        except Exception as error:
            # What was delivered is the consumer's affair. And if the socket is gone, nothing was
            # read that could have been decoded.
            if error is transport.raised or getattr(client.connection, "_sock", None) is None:
                raise
            # Of which of the queues it was is known to kombu alone.
            transport.refusals.refuse(Refusal.NOT_JSON, _said(error), ", ".join(queues))
            return None
        finally:
            transport.raised = None


class Channel(Guarded):
    """On one server."""


class SentinelChannel(Guarded, kombu_redis.SentinelChannel):  # type: ignore[misc]
    """On the server that Sentinels call the master, asked anew by each connection."""

    sentinel_kwargs: dict[str, Any] | None = None

    def _sentinel_managed_pool(self, asynchronous: bool = False) -> Any:
        # Else a Sentinel that is gone is tried ten times, before the next one is asked.
        once = Retry(NoBackoff(), 0)
        self.sentinel_kwargs = {**(self.sentinel_kwargs or {}), "retry": once}
        return super()._sentinel_managed_pool(asynchronous)


class Dropping(kombu_redis.Transport):  # type: ignore[misc]
    """A transport that delivers messages which have a message's shape."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.refusals = Refusals()
        self.raised: Exception | None = None

    def _deliver(self, message: Any, queue: str) -> None:
        wrong = flaw(message)
        if wrong is not None:
            self.refusals.refuse(Refusal.NOT_A_MESSAGE, wrong, queue)
            return
        try:
            super()._deliver(message, queue)
        except Exception as error:
            self.raised = error
            raise


class Transport(Dropping):
    """For `redis://`."""

    Channel = Channel


class SecureTransport(Transport):
    """For `rediss://`. It knows its server by a certificate, unless it is told not to ask."""

    def __init__(self, client: Any, **options: Any) -> None:
        if not client.ssl:
            client.ssl = {"ssl_cert_reqs": "required"}
        super().__init__(client, **options)
        _look_at(client.ssl)


class SentinelTransport(Dropping, kombu_redis.SentinelTransport):  # type: ignore[misc]
    """For `sentinel://`."""

    Channel = SentinelChannel

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        _look_at(client.ssl or {})


def _look_at(tls: Mapping[str, Any]) -> None:
    if tls.get("ssl_cert_reqs") in ("none", ssl.CERT_NONE):
        warn_unchecked()


@cache
def warn_unchecked() -> None:
    """Say, once a process, that nobody looks at the broker's certificate."""
    _log.warning(
        "broker_not_verified",
        reason="ssl_cert_reqs=none: whoever stands between can read and change everything",
        hint="name the CA in HEADWAY_BROKER_URL: rediss://…?ssl_ca_certs=/path/ca.pem",
    )


def _said(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if isinstance(error, ValueError):
        return f"it is not JSON ({error})"
    return f"it is of no known type ({type(error).__name__})"


_OURS = {"redis": "Transport", "rediss": "SecureTransport", "sentinel": "SentinelTransport"}

# How Flower, `celery inspect` and the log show the addresses of these connections.
kombu_connection.resolve_aliases.update({f"{__name__}:{c}": name for name, c in _OURS.items()})

# A connection that goes to the next of several addresses takes its transport by the scheme again.
kombu_transport.TRANSPORT_ALIASES.update({name: f"{__name__}:{c}" for name, c in _OURS.items()})
for _name in _OURS:
    kombu_transport._transport_cache.pop(_name, None)
