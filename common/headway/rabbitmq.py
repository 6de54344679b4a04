"""Publishing to RabbitMQ: a whole batch, then one wait for all of its confirms.

py-amqp waits for a confirm after each message, without saying of which: one that comes late is
taken for the next message's. Here every confirm is matched by its delivery tag, so a batch costs
one round trip. A message that is returned, refused or not confirmed in time is an error, after
which nothing of the connection may be used again: what arrived is not known.
(https://www.rabbitmq.com/docs/confirms)
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kombu import Connection, Queue

from headway.broker_options import connection_arguments, declaration
from headway.clock import Clock, SystemClock
from headway.errors import UnavailableError

CONFIRM_SECONDS = 5.0
_REFUSED_SECONDS = 1.0
_REFUSED_PAUSE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for the queue of that name; `body` is JSON."""

    queue: str
    body: str
    headers: dict[str, Any] = field(default_factory=dict)
    correlation_id: str = ""


class ConfirmingPublisher:
    """One connection; belongs to one thread. After an error: `close` it and make another."""

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._pause = threading.Event().wait
        self._connection = Connection(**connection_arguments(url), heartbeat=0)
        self._channel: Any = None
        self._declared: set[str] = set()
        self._last_tag = 0
        self._unconfirmed: dict[int, Outgoing] = {}
        self._refused: list[Outgoing] = []

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Return once the broker has confirmed every message.

        What it refuses is sent again for a moment: a queue that another process declares just now
        takes nothing yet.

        Raises:
            UnavailableError: one was returned, refused for good, or not confirmed in time.
            Exception: whatever py-amqp and the socket raise when the connection breaks.
        """
        channel = self._opened()
        for queue in dict.fromkeys(m.queue for m in messages):
            self._declare(queue)
        now = self._clock.monotonic()
        confirm_by, refuse_by = now + CONFIRM_SECONDS, now + _REFUSED_SECONDS
        todo = list(messages)
        while todo:
            for message in todo:
                self._send(channel, message)
            self._wait(confirm_by)
            todo, self._refused = self._refused, []
            if todo and self._clock.monotonic() > refuse_by:
                raise _not_taken("it has no room, or the queue is broken", todo[0].queue)
            if todo:
                self._pause(_REFUSED_PAUSE_SECONDS)

    def consumers(self, queue: str) -> int:
        """Return how many consume the queue, which is declared if it is not there.

        Raises whatever py-amqp and the socket raise.
        """
        answer = Queue(**declaration(queue)).queue_declare(channel=self._opened())
        return int(answer.consumer_count)

    def close(self) -> None:
        """Give the connection up, whatever state it is in."""
        self._channel = None
        try:
            self._connection.collect(socket_timeout=1)
        except Exception:  # it is being given up because it is broken
            pass

    def _opened(self) -> Any:
        if self._channel is None:
            channel = self._connection.default_channel
            channel.events["basic_ack"].add(self._confirmed)
            channel.events["basic_nack"].add(self._denied)
            channel.events["basic_return"].add(self._returned)
            channel.confirm_select()
            self._channel = channel
        return self._channel

    def _declare(self, queue: str) -> None:
        """Make sure of the queue, so that a message waits there for its first consumer."""
        if queue not in self._declared:
            Queue(**declaration(queue)).queue_declare(channel=self._channel)
            self._declared.add(queue)

    def _send(self, channel: Any, message: Outgoing) -> None:
        self._last_tag += 1
        self._unconfirmed[self._last_tag] = message
        channel.basic_publish(
            channel.prepare_message(
                message.body,
                content_type="application/json",
                content_encoding="utf-8",
                headers=message.headers,
                properties={"correlation_id": message.correlation_id, "delivery_mode": 2},
            ),
            exchange="",
            routing_key=message.queue,
            mandatory=True,
        )

    def _wait(self, deadline: float) -> None:
        """Wait until each message is confirmed or refused."""
        while self._unconfirmed:
            left = deadline - self._clock.monotonic()
            if left <= 0:
                queue = next(iter(self._unconfirmed.values())).queue
                raise _not_taken(f"no confirm came within {CONFIRM_SECONDS:g} s", queue)
            try:
                self._connection.drain_events(timeout=left)
            except TimeoutError:
                continue

    def _confirmed(self, tag: int, multiple: bool) -> None:
        self._settle(tag, multiple)

    def _denied(self, tag: int, multiple: bool) -> None:
        self._refused += self._settle(tag, multiple)

    def _settle(self, tag: int, multiple: bool) -> list[Outgoing]:
        settled = [t for t in self._unconfirmed if t <= tag] if multiple else [tag]
        return [m for t in settled if (m := self._unconfirmed.pop(t, None)) is not None]

    def _returned(self, error: Exception, exchange: str, queue: str, message: Any) -> None:
        raise _not_taken("the queue is not there", queue)


def _not_taken(why: str, queue: str) -> UnavailableError:
    return UnavailableError("broker", f"RabbitMQ did not take a message for {queue}: {why}")
