"""Kombu's Redis transport, which drops what is no message instead of breaking on it.

A Redis list holds whatever anybody pushed. kombu decodes it while it reads the socket, and what
that raises ends a Celery worker, or costs another consumer its connection. Here such an element is
dropped, counted and said once; the consumer and its connection go on. Errors of the broker and of
the consumer's own code are raised as ever.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterable
from queue import Empty
from typing import Any

from kombu import connection as kombu_connection
from kombu.transport import redis as kombu_redis
from redis.exceptions import RedisError

from headway.refusals import Refusal, Refusals


def count_refusals(connection: Any, refusals: Refusals) -> None:
    """Let `refusals` count what a connection to Redis drops; others drop nothing."""
    if isinstance(connection.transport, Transport):
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


class Channel(kombu_redis.Channel):  # type: ignore[misc]
    """Reads a queue's elements one by one; one that cannot be decoded is dropped."""

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


class Transport(kombu_redis.Transport):  # type: ignore[misc]
    """For `redis://`. Delivers messages that have a message's shape."""

    Channel = Channel

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


class SecureTransport(Transport):
    """For `rediss://`."""

    def __init__(self, client: Any, **options: Any) -> None:
        if not client.ssl:
            # kombu's own default, which it takes from the scheme that it does not see here.
            client.ssl = {"ssl_cert_reqs": ssl.CERT_NONE}
        super().__init__(client, **options)


def _said(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if isinstance(error, ValueError):
        return f"it is not JSON ({error})"
    return f"it is of no known type ({type(error).__name__})"


# How Flower, `celery inspect` and the log show the addresses of these connections.
kombu_connection.resolve_aliases.update(
    {f"{__name__}:Transport": "redis", f"{__name__}:SecureTransport": "rediss"}
)
