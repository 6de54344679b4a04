"""The queues to which upstream systems publish events: read, and removed once they are kept.

On RabbitMQ a message stays unacknowledged until its event is kept. Redis knows no such thing:
kombu pops a message first and notes it elsewhere afterwards, so that a process which dies in
between loses it. Here the list is read in place, and an element is removed, by its value, after the
commit. So nothing has to be brought back, and two readers at a time do no harm.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from kombu import Connection, Consumer, Queue

from headway.broker_options import connection_arguments, declaration, is_redis
from headway.crash_points import crash_point
from headway.protocol.queues import event_queue
from headway.redis_transport import flaw
from headway_coordinator.application.hearing import Letter

_MOST = 100  # letters at a time: each may have a megabyte
_HEARTBEAT_S = 10  # on RabbitMQ
_MORE_S = 0.005  # after a first message, for those that are under way already
_TURN_S = 0.25  # of several queues, Redis can wait for one alone at a time


class BrokerLetters:
    """Implements `Letters`; belongs to one thread."""

    def __init__(self, url: str, teams: Sequence[str]) -> None:
        self._box: _RedisBox | _RabbitBox = (
            _RedisBox(url, teams) if is_redis(url) else _RabbitBox(url, teams)
        )

    def read(self, seconds: float) -> list[Letter]:
        return self._box.read(seconds)

    def keep_alive(self) -> None:
        self._box.keep_alive()

    @crash_point("upstream.acknowledge")
    def done(self, letters: Sequence[Letter]) -> None:
        self._box._forget(letters)

    def close(self) -> None:
        self._box.close()


class _RedisBox:
    """Producers push at the left, so that the oldest element is the last one."""

    def __init__(self, url: str, teams: Sequence[str]) -> None:
        self._connection = Connection(**connection_arguments(url))
        self._queues = {event_queue(team): team for team in teams}
        self._turns = list(self._queues)

    def read(self, seconds: float) -> list[Letter]:
        return self._look() or (self._look() if self._wait(seconds) else [])

    def _look(self) -> list[Letter]:
        with self._client().pipeline(transaction=False) as pipe:
            for queue in self._queues:
                pipe.lrange(queue, -_MOST, -1)
            found = pipe.execute()
        return [
            _letter_of(raw, self._queues[queue])
            for queue, elements in zip(self._queues, found, strict=True)
            for raw in reversed(elements)
        ]

    def _wait(self, seconds: float) -> bool:
        """Wait until there is something; an element that moves to its own place stays there."""
        queue = self._turns.pop(0)
        self._turns.append(queue)
        wait = seconds if len(self._turns) == 1 else min(seconds, _TURN_S)
        stayed = self._client().blmove(queue, queue, wait, src="RIGHT", dest="RIGHT")
        return stayed is not None or len(self._turns) > 1

    def keep_alive(self) -> None:
        """Nothing is held at the server."""

    def _forget(self, letters: Sequence[Letter]) -> None:
        with self._client().pipeline(transaction=False) as pipe:
            for letter in letters:
                pipe.lrem(event_queue(letter.team), -1, letter.ticket)
            pipe.execute()

    def close(self) -> None:
        self._connection.release()

    def _client(self) -> Any:
        return self._connection.default_channel.client


class _RabbitBox:
    def __init__(self, url: str, teams: Sequence[str]) -> None:
        self._connection = Connection(**connection_arguments(url), heartbeat=_HEARTBEAT_S)
        self._teams = teams
        self._arrived: list[Letter] = []
        self._consumers: list[Consumer] = []

    def read(self, seconds: float) -> list[Letter]:
        self._open()
        if not self._arrived:
            self._drain(seconds)
        while self._arrived and self._drain(_MORE_S):
            pass
        self._connection.heartbeat_check()
        arrived, self._arrived = self._arrived, []
        return arrived

    def keep_alive(self) -> None:
        # What comes meanwhile is within the prefetch; and unread heartbeats would count as missed.
        while self._drain(_MORE_S):
            pass
        self._connection.heartbeat_check()

    def _forget(self, letters: Sequence[Letter]) -> None:
        for letter in letters:
            letter.ticket.ack()

    def close(self) -> None:
        try:
            self._connection.collect(socket_timeout=1)
        except Exception:  # it may be given up because it is broken
            pass

    def _open(self) -> None:
        """Consume from each queue, as long as the connection lasts."""
        if self._consumers:
            return
        most = max(1, _MOST // len(self._teams))
        for team in self._teams:
            consumer = Consumer(
                self._connection.default_channel,
                queues=[Queue(**declaration(event_queue(team)))],
                on_message=partial(self._take, team),
                prefetch_count=most,
                auto_declare=True,
            )
            consumer.consume()
            self._consumers.append(consumer)

    def _drain(self, seconds: float) -> bool:
        """Let what arrives be taken; say whether something did."""
        before = len(self._arrived)
        try:
            self._connection.drain_events(timeout=seconds)
        except TimeoutError:
            return False
        return len(self._arrived) > before

    def _take(self, team: str, message: Any) -> None:
        body = message.body
        raw = body.encode() if isinstance(body, str) else bytes(body)
        self._arrived.append(Letter(team, str(message.content_type or ""), raw, message))


def _letter_of(raw: bytes, team: str) -> Letter:
    """Return an element of a list as a letter; with its flaw if it is none of kombu's messages."""
    try:
        envelope = json.loads(raw)
    except (ValueError, RecursionError):
        return Letter(team, "", b"", raw, "it is not JSON")
    wrong = flaw(envelope)
    if wrong is not None:
        return Letter(team, "", b"", raw, wrong)
    body = envelope["body"].encode("utf-8", "surrogatepass")
    if envelope["properties"].get("body_encoding"):
        body = base64.b64decode(body)
    return Letter(team, envelope.get("content-type") or "", body, raw)
