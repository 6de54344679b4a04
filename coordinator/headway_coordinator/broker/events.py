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

from headway.broker_options import declaration, transport_options
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
from headway_coordinator.application.batch import Incoming
from headway_coordinator.application.requests import finished

log = structlog.get_logger("headway.events")

_PREFETCH = 500
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
    ) -> None:
        self._url = url
        self._key = key
        self._deliver = deliver
        self._nudge = nudge
        self._refused = refused
        self._seen_refusals: set[str] = set()
        self._done: deque[Any] = deque()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

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
            thread.join(10)

    def acknowledge(self, incoming: Sequence[Incoming]) -> None:
        """Hand the messages of recorded events to the consumer's thread to be acknowledged."""
        self._done.extend(i.ticket for i in incoming if i.ticket is not None)

    def _run(self, stop: threading.Event, done: deque[Any]) -> None:
        while not stop.is_set():
            try:
                self._consume(stop, done)
            except Exception as error:  # the transports raise whatever their libraries do
                log.warning("events_interrupted", error=str(error))
                done.clear()
                stop.wait(1.0)

    def _consume(self, stop: threading.Event, done: deque[Any]) -> None:
        options = transport_options(self._url)
        with Connection(self._url, transport_options=options, connect_timeout=5) as connection:
            queue = Queue(**declaration(EVENTS))
            channel = connection.channel()
            with Consumer(
                channel,
                queues=[queue],
                on_message=self._take,
                prefetch_count=_PREFETCH,
                auto_declare=True,
            ):
                while not stop.is_set():
                    try:
                        connection.drain_events(timeout=0.1)
                    except TimeoutError:
                        pass
                    _acknowledge(done)
            # What was recorded but not acknowledged yet would only come again and be ignored.
            _acknowledge(done)

    def _take(self, message: Any) -> None:
        raw = message.body
        body = raw.encode() if isinstance(raw, str) else bytes(raw)
        if body[:9] == b'{"nudge":':
            message.ack()
            self._nudge()
            return
        try:
            batch = parse(CompletionBatch, body, limit=_ENVELOPE_LIMIT_BYTES)
        except MessageError as error:
            message.ack()
            self._refuse("malformed", str(error))
            return
        opened = [c for sealed in batch.completions if (c := self._opened(sealed)) is not None]
        if not opened:
            message.ack()
        # The message is acknowledged with its last completion: all of them are recorded by then.
        for completion in opened:
            ticket = message if completion is opened[-1] else None
            event = finished(completion)
            self._deliver(Incoming(completion.run, event, ticket=ticket, worker=completion.worker))

    def _opened(self, sealed: Sealed) -> Completion | None:
        """Return the completion if it is well formed and its MAC is the claim winner's."""
        inner = sealed.body.encode()
        try:
            completion = parse(Completion, inner, limit=COMPLETION_LIMIT_BYTES)
        except MessageError as error:
            self._refuse("malformed", str(error))
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
        self._refuse("forged", f"{completion.attempt}: the MAC is not the claim winner's")
        return None

    def _refuse(self, kind: str, why: str) -> None:
        """Count the refusal; the first of a kind is logged, a flood of them is not."""
        self._refused(kind)
        if kind not in self._seen_refusals:
            self._seen_refusals.add(kind)
            log.warning("event_refused", kind=kind, reason=why[:300])


def _acknowledge(done: deque[Any]) -> None:
    while done:
        done.popleft().ack()
