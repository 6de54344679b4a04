"""Consumes completion events and nudges while this coordinator leads.

Each message is checked whole before it counts: size, shape, and the MAC under the completion token
that only the winner of the claim was told. What fails is counted, logged once a kind, and dropped;
the loop goes on. A message is acknowledged after the transaction that recorded it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from kombu import Connection, Consumer, Queue

from headway.broker_options import connection_arguments, declaration, is_redis
from headway.crash_points import crash_point
from headway.protocol.messages import (
    COMPLETION_LIMIT_BYTES,
    REQUEST_LIMIT_BYTES,
    Completion,
    CompletionBatch,
    MessageError,
    Sealed,
    parse,
)
from headway.protocol.proof import completion_token, is_sealed
from headway.protocol.queues import EVENTS
from headway.redis_transport import count_refusals
from headway.refusals import Refusal, Refusals, in_words
from headway_coordinator.application.batch import Incoming
from headway_coordinator.application.requests import finished
from headway_coordinator.broker.senders import NUDGE_NOTIFICATIONS, NUDGE_TRIGGERS

log = structlog.get_logger("headway.events")

_PREFETCH = 500
_HEARTBEAT_S = 10  # on RabbitMQ: notices a connection that is cut without a word
_IDLE_S = 1.0
# Redis needs no word from us meanwhile, and each end of a wait wakes this process and the server.
_REDIS_IDLE_S = 5.0
# While acknowledgements are due: they are sent by the thread that reads.
_BUSY_S = 0.05
_ENVELOPE_LIMIT_BYTES = 2 * REQUEST_LIMIT_BYTES


class EventConsumer:
    """Reads `headway.events` on a thread of its own, between `start` and `stop`."""

    def __init__(
        self,
        url: str,
        *,
        key: bytes,
        deliver: Callable[[Incoming], None],
        nudge: Callable[[], None],
        refused: Callable[[str], None],
        wake: Callable[[], None] = lambda: None,
        nudge_triggers: Callable[[], None] = lambda: None,
        nudge_notifications: Callable[[], None] = lambda: None,
    ) -> None:
        """`wake` sends a nudge to the queue, so that `stop` need not wait for silence to end."""
        self._url = url
        self._wake = wake
        self._key = key
        self._deliver = deliver
        self._nudges = {
            NUDGE_TRIGGERS.encode(): nudge_triggers,
            NUDGE_NOTIFICATIONS.encode(): nudge_notifications,
        }
        self._nudge = nudge
        self._refusals = Refusals(refused)
        self._done: deque[Any] = deque()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._taken = 0  # messages whose acknowledgement is still to come, or has come

    def start(self) -> None:
        self._stop = threading.Event()
        self._done = deque()
        self._thread = threading.Thread(
            target=self._run, args=(self._stop, self._done), name="events", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            self._wake()
            thread.join(10)

    def acknowledge(self, incoming: Sequence[Incoming]) -> None:
        """Hand the messages of recorded events to the consumer's thread to be acknowledged."""
        self._done.extend(i.ticket for i in incoming if i.ticket is not None)

    def _run(self, stop: threading.Event, done: deque[Any]) -> None:
        while not stop.is_set():
            try:
                self._consume(stop, done)
            except Exception as error:  # the transports raise whatever their libraries do
                log.warning("events_interrupted", error=repr(error))
                done.clear()
                stop.wait(1.0)

    def _consume(self, stop: threading.Event, done: deque[Any]) -> None:
        self._taken = 0
        with Connection(
            **connection_arguments(self._url),
            heartbeat=0 if is_redis(self._url) else _HEARTBEAT_S,
        ) as connection:
            channel = connection.default_channel
            idle = _IDLE_S
            if is_redis(self._url):
                idle = channel.brpop_timeout = _REDIS_IDLE_S
            count_refusals(connection, self._refusals)
            with Consumer(
                channel,
                queues=[Queue(**declaration(EVENTS))],
                on_message=self._take,
                on_decode_error=self._drop,
                prefetch_count=_PREFETCH,
                auto_declare=True,
            ):
                acknowledged = 0
                while not stop.is_set():
                    wait = _BUSY_S if acknowledged < self._taken else idle
                    try:
                        connection.drain_events(timeout=wait)
                    except TimeoutError:
                        pass
                    acknowledged += _acknowledge(done)
                    connection.heartbeat_check()
            # What was recorded but not acknowledged yet would only come again and be ignored.
            _acknowledge(done)

    def _take(self, message: Any) -> None:
        raw = message.body
        body = raw.encode() if isinstance(raw, str) else bytes(raw)
        if body[:9] == b'{"nudge":':
            _drop(message)
            self._nudges.get(body.strip(), self._nudge)()
            return
        try:
            batch = parse(CompletionBatch, body, limit=_ENVELOPE_LIMIT_BYTES)
        except MessageError as error:
            _drop(message)
            self._refusals.refuse(Refusal.MALFORMED, in_words(error), EVENTS)
            return
        opened = [c for sealed in batch.completions if (c := self._opened(sealed)) is not None]
        if not opened:
            _drop(message)
        # The message is acknowledged with its last completion: all of them are recorded by then.
        for completion in opened:
            ticket = message if completion is opened[-1] else None
            self._taken += ticket is not None
            event = finished(completion)
            self._deliver(Incoming(completion.run, event, ticket=ticket, worker=completion.worker))

    def _drop(self, message: Any, error: Exception) -> None:
        _drop(message)
        self._refusals.refuse(Refusal.UNREADABLE, f"its body cannot be read: {error}", EVENTS)

    def _opened(self, sealed: Sealed) -> Completion | None:
        """Return the completion if it is well formed and its MAC is the claim winner's."""
        inner = sealed.body.encode()
        try:
            completion = parse(Completion, inner, limit=COMPLETION_LIMIT_BYTES)
        except MessageError as error:
            self._refusals.refuse(Refusal.MALFORMED, in_words(error), EVENTS)
            return None
        token = completion_token(
            self._key,
            attempt=completion.attempt,
            fence=completion.fence,
            worker=completion.worker,
            boot=completion.boot,
        )
        if is_sealed(inner, sealed.mac, token):
            return completion
        why = f"{completion.attempt}: the MAC is not the claim winner's"
        self._refusals.refuse(Refusal.FORGED, why, EVENTS)
        return None


def _acknowledge(done: deque[Any]) -> int:
    count = 0
    while done:
        _finish(done.popleft())
        count += 1
    return count


@crash_point("events.acknowledge")
def _finish(message: Any) -> None:
    """Acknowledge a message whose completions are recorded."""
    message.ack()


@crash_point("events.drop")
def _drop(message: Any) -> None:
    """Acknowledge a message that leaves nothing to be recorded."""
    message.ack()
