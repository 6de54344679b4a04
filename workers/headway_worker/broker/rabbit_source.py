"""Steps' messages from RabbitMQ: consumed, and acknowledged once the step's completion is on disk.

RabbitMQ counts what it may send for each queue of a worker by itself, so more messages may come
than there are slots. They are kept for a moment, as a slot is often free again within it. If not,
they go back to their queues, where a worker with a free slot finds them, and this one listens again
when it has one.
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import structlog

from headway.broker_options import connection_arguments, declaration
from headway.clock import Clock
from headway.errors import UnavailableError
from headway_worker.broker.contract import Ring

KEPT_SECONDS = 0.25
# A connection that is cut without a word is noticed after two of these.
_HEARTBEAT_SECONDS = 30
_WAIT_SECONDS = 5.0
_FRAME_SECONDS = 15.0
_TICK_SECONDS = 1.0
_log = structlog.get_logger()


class RabbitSource:
    """Implements `Source`; connects at once."""

    def __init__(
        self,
        url: str,
        queues: Sequence[str],
        probe: str,
        *,
        slots: int,
        clock: Clock,
    ) -> None:
        """Raises UnavailableError."""
        self._queues = list(queues)
        self._clock = clock
        self._ear, self._mouth = _pipe()
        self._is_woken = False
        self._settled: deque[tuple[int, bool]] = deque()
        self._tags: list[str] = []  # of the consumers of the steps' queues
        self._kept: deque[Ring] = deque()
        self._kept_since = 0.0
        self._arrived: list[Ring] = []
        self._ticked_at = 0.0
        self._lost: str | None = None
        with self._guard():
            self._connect(url, slots)
            self._consume(probe, no_ack=True)
            self._listen()

    def take(self, room: int) -> list[Ring]:
        with self._guard():
            self._settle()
            if room and not self._tags:
                self._listen()
            self._hear(self._patience(room))
            self._settle()
            rings = [self._kept.popleft() for _ in range(min(room, len(self._kept)))]
            if self._kept and self._clock.monotonic() - self._kept_since >= KEPT_SECONDS:
                _log.info("deliveries_returned", count=len(self._kept))
                self._hush()
        probes, self._arrived = self._arrived, []
        return probes + rings

    def pause(self) -> None:
        with self._guard():
            self._queues.clear()
            self._hush()

    def wake(self) -> None:
        if not self._is_woken:
            self._is_woken = True
            with contextlib.suppress(OSError):  # it was closed meanwhile
                self._mouth.send(b"!")

    def break_off(self) -> None:
        with contextlib.suppress(AttributeError, OSError):  # it is broken already
            self._amqp.sock.shutdown(socket.SHUT_RDWR)
        self.wake()

    def close(self) -> None:
        self._ear.close()
        self._mouth.close()
        with contextlib.suppress(Exception):  # it is being given up because it is broken
            self._kombu.collect(socket_timeout=1)

    def _connect(self, url: str, slots: int) -> None:
        from kombu import Connection

        self._kombu = Connection(**connection_arguments(url), heartbeat=_HEARTBEAT_SECONDS)
        self._channel: Any = self._kombu.default_channel
        self._amqp: Any = self._channel.connection
        self._channel.basic_qos(0, slots, False)
        self._poll = select.poll()
        self._poll.register(self._amqp.sock, select.POLLIN)
        self._poll.register(self._ear, select.POLLIN)

    def _listen(self) -> None:
        self._tags = [self._consume(queue) for queue in self._queues]

    def _consume(self, queue: str, *, no_ack: bool = False) -> str:
        from kombu import Queue

        Queue(**declaration(queue)).queue_declare(channel=self._channel)
        take = self._note_probe if no_ack else self._keep
        tag: str = self._channel.basic_consume(
            queue,
            no_ack=no_ack,
            callback=lambda message: take(self._ring(queue, message)),
            on_cancel=self._cancelled,
        )
        return tag

    def _hush(self) -> None:
        """Listen to no queue of steps, then return what is kept: it would come straight back."""
        for tag in self._tags:
            self._channel.basic_cancel(tag)
        self._tags = []
        while self._kept:
            self._kept.popleft().give_back()
        self._settle()

    def _cancelled(self, tag: str) -> None:
        # Raised where frames are read it would be taken for the connection's own error.
        self._lost = f"the broker ended the consumer {tag}: its queue was deleted"

    def _note_probe(self, ring: Ring) -> None:
        self._arrived.append(ring)

    def _keep(self, ring: Ring) -> None:
        if not self._kept:
            self._kept_since = self._clock.monotonic()
        self._kept.append(ring)

    def _ring(self, queue: str, message: Any) -> Ring:
        tag = message.delivery_tag
        return Ring(
            queue,
            message.headers,
            message.body,
            partial(self._decide, tag, True),
            partial(self._decide, tag, False),
        )

    def _decide(self, tag: int, is_done: bool) -> None:
        """Note what becomes of a message; the listener's thread tells the broker."""
        self._settled.append((tag, is_done))
        self.wake()

    def _settle(self) -> None:
        while self._settled:
            tag, is_done = self._settled.popleft()
            if is_done:
                self._channel.basic_ack(tag)
            else:
                self._channel.basic_reject(tag, requeue=True)

    def _patience(self, room: int) -> float:
        """Return for how many seconds to wait for something new."""
        if not self._kept:
            return _WAIT_SECONDS
        if room:
            return 0.0
        return max(0.0, self._kept_since + KEPT_SECONDS - self._clock.monotonic())

    def _hear(self, patience: float) -> None:
        """Take in all that has come, waiting for the first of it, or for a call of `wake`."""
        while self._is_readable(patience):
            self._amqp.blocking_read(_FRAME_SECONDS)
            patience = 0.0
        now = self._clock.monotonic()
        if now - self._ticked_at >= _TICK_SECONDS:
            self._ticked_at = now
            self._kombu.heartbeat_check()
        if self._lost is not None:
            raise UnavailableError("broker", self._lost)

    def _is_readable(self, patience: float) -> bool:
        sock = self._amqp.sock
        if (pending := getattr(sock, "pending", None)) is not None and pending():
            return True
        ready = {fd for fd, _ in self._poll.poll(patience * 1000)}
        if self._ear.fileno() in ready:
            # In this order: who wakes meanwhile has noted before what is looked at after this.
            self._ear.recv(64)
            self._is_woken = False
        return sock.fileno() in ready

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except UnavailableError:
            raise
        except Exception as error:  # py-amqp and the socket raise errors of many kinds
            raise UnavailableError("broker", f"cannot take messages: {error!r}") from error


def _pipe() -> tuple[socket.socket, socket.socket]:
    ear, mouth = socket.socketpair()
    ear.setblocking(False)
    mouth.setblocking(False)
    return ear, mouth
