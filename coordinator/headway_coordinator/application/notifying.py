"""Sends the outbox's notifications, each at least once, and gives up after a number of tries.

What is sent names its delivery, by which a receiver knows a repetition. Nothing that is logged or
kept of a try holds the address: it may be a secret, or hold one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Protocol
from urllib.parse import urlsplit

import structlog

from headway.clock import Clock
from headway.spec.secrets import PREFIX
from headway_coordinator.access.cipher import UnreadableSecretError
from headway_coordinator.application.notify_ports import Notification, Notifications, Tried
from headway_coordinator.application.ports import StorageUnavailable

log = structlog.get_logger("headway.notifications")

TRIES = 8
_FIRST = timedelta(seconds=5)
_FACTOR = 3  # so that the seven waits lead from five seconds to an hour
_LONGEST = timedelta(hours=1)
_LONGEST_ASKED = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a receiver answered."""

    status: int
    retry_after: str | None = None


class NotSentError(Exception):
    """Nothing came back, or nothing was sent; the text tells nothing of the address."""


class Post(Protocol):
    def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send a POST request. Raises NotSentError."""


Values = Callable[[str, list[str]], Mapping[str, str | UnreadableSecretError]]


class Notifier:
    """Sends; safe to use from many threads. `values` reads secrets of a team."""

    def __init__(
        self, notifications: Notifications, values: Values, post: Post, clock: Clock
    ) -> None:
        self._notifications = notifications
        self._values = values
        self._post = post
        self._clock = clock

    def send(self, each: Notification) -> None:
        """Try to send it once, and note how that went.

        Raises:
            StorageUnavailable: how it went is not noted; it is sent again.
        """
        tried = self._try(each)
        if not self._notifications.settle(each.id, each.attempts, tried):
            log.info("notification_settled_elsewhere", notification=each.id)
            return
        tell = log.info if tried.problem is None else log.warning
        tell(
            "notification_tried",
            notification=each.id,
            run=each.run,
            state=tried.state,
            attempt=each.attempts + 1,
            problem=tried.problem,
        )

    def _try(self, each: Notification) -> Tried:
        try:
            url = self._address(each)
            body = json.dumps(each.body, ensure_ascii=False).encode("utf-8", "replace")
            headers = {"Content-Type": "application/json", "X-Headway-Delivery": each.id}
            reply = self._post(url, headers, body)
        except NotSentError as error:
            return failed(each.attempts, str(error), None)
        except StorageUnavailable:
            raise
        except Exception as error:  # its text, and what led there, may hold the address
            kind = type(error).__name__
            log.error("notification_unexpected", notification=each.id, error=kind)
            return failed(each.attempts, f"an unexpected {kind}", None)
        if 200 <= reply.status < 300:
            return Tried()
        asked = asked_wait(reply.retry_after, self._clock.now())
        return failed(each.attempts, f"the receiver answered {reply.status}", asked)

    def _address(self, each: Notification) -> str:
        """Return where it goes. Raises NotSentError."""
        if not each.webhook.startswith(PREFIX):
            return each.webhook
        name = each.webhook.removeprefix(PREFIX)
        value = self._values(each.team, [name]).get(name)
        if value is None:
            raise NotSentError(f"the secret `{name}` is not set")
        if isinstance(value, UnreadableSecretError):
            raise NotSentError(f"the secret `{name}` cannot be decrypted")
        return value


def failed(attempts: int, problem: str, asked: timedelta | None) -> Tried:
    """Return the end of the try after `attempts` others; `asked` is what the receiver wants."""
    if attempts + 1 >= TRIES:
        return Tried(problem, None)
    wait = min(_LONGEST, _FIRST * _FACTOR**attempts)
    return Tried(problem, max(wait, asked or timedelta()))


def asked_wait(header: str | None, now: datetime) -> timedelta | None:
    """Return what a Retry-After says: seconds, or a date (RFC 9110); at most a day."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:9])), _LONGEST_ASKED)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return min(max(at - now, timedelta()), _LONGEST_ASKED)


def shown_address(webhook: str) -> str:
    """Return what may be shown of an address: a secret's name, or the scheme and host of a URL.

    The path is left out with the rest: with many receivers it is the password.
    """
    if webhook.startswith(PREFIX):
        return webhook
    try:
        parts = urlsplit(webhook)
        port = "" if parts.port is None else f":{parts.port}"
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}{port}/…" if parts.hostname else "…"
    except ValueError:
        return "…"
