"""Steps' messages from Redis: lists, of which this worker pops what it has room for.

Several messages come in one round trip as long as there are some, and one blocking pop waits for
the next. What is popped and not performed, because this process dies or the connection breaks, is
lost to the broker; the coordinator's sweep finds it.
"""

from __future__ import annotations

import base64
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, islice
from typing import TypeVar

import orjson
import structlog
from redis.exceptions import NoPermissionError, ResponseError

from headway.broker_options import connection_arguments
from headway.errors import UnavailableError
from headway.redis_transport import flaw
from headway.refusals import Refusal, Refusals
from headway_worker.broker.contract import Ring

T = TypeVar("T")
# A larger answer would keep everything else waiting.
_MOST = 100
# A wait for a message ends by itself now and then, well before the socket gives up.
_WAIT_SECONDS = 5
_log = structlog.get_logger()


class RedisSource:
    """Implements `Source`; connects at once."""

    def __init__(self, url: str, queues: Sequence[str], probe: str, refusals: Refusals) -> None:
        """Raises UnavailableError."""
        self._queues = deque(queues)
        self._probe = probe
        self._refusals = refusals
        self._may_pop_at_once = True
        self._room_came = threading.Event()
        self._is_closed = False
        self._guard(lambda: self._connect(url))

    def take(self, room: int) -> list[Ring]:
        if room == 0 and self._queues:
            # Nothing may be popped that would have to wait here; nor is a probe sent meanwhile.
            self._room_came.wait(_WAIT_SECONDS)
            self._room_came.clear()
            return []
        self._room_came.clear()
        return self._guard(lambda: self._take(room))

    def pause(self) -> None:
        self._queues.clear()

    def wake(self) -> None:
        self._room_came.set()

    def break_off(self) -> None:
        self._room_came.set()
        try:
            self._connection._sock.shutdown(socket.SHUT_RDWR)
        except (AttributeError, OSError):
            pass  # it is broken already

    def close(self) -> None:
        self._is_closed = True
        try:
            self._kombu.release()
            self._connection.disconnect()
        except Exception:  # it is being given up because it is broken
            pass

    def _connect(self, url: str) -> None:
        from kombu import Connection

        self._kombu = Connection(**connection_arguments(url))
        self._client = self._kombu.default_channel.client
        self._connection = self._client.connection_pool.get_connection()

    def _guard(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except Exception as error:  # redis-py and the socket raise errors of many kinds
            raise UnavailableError("broker", f"cannot take messages: {error!r}") from error

    def _take(self, room: int) -> list[Ring]:
        found = self._pop(min(room, _MOST)) if self._may_pop_at_once else []
        if not found:
            found = self._wait()
        return [ring for queue, element in found if (ring := self._ring(queue, element))]

    def _pop(self, room: int) -> list[tuple[str, bytes]]:
        """Return up to `room` elements, of the queues in turn, in one round trip; and a probe.

        With steps always waiting nothing else would hear it, and the worker would seem deaf.
        """
        asked = [self._probe, *islice(cycle(self._queues), room)]
        self._connection.send_packed_command(
            self._connection.pack_commands([("RPOP", queue) for queue in asked]),
            check_health=False,
        )
        found: list[tuple[str, bytes]] = []
        for queue in asked:
            try:
                element = self._connection.read_response()
            except NoPermissionError as error:
                self._refused(error)
                continue
            except ResponseError as error:
                if not str(error).startswith("WRONGTYPE"):
                    raise
                self._forget(queue)
                continue
            if element is not None:
                found.append((queue, element))
        if found and found[-1][0] != self._probe:
            self._next_after(found[-1][0])
        return found

    def _wait(self) -> list[tuple[str, bytes]]:
        """Return the next element of any queue, the probes' first; nothing if none comes."""
        keys = [self._probe, *self._queues]
        self._connection.send_command("BRPOP", *keys, _WAIT_SECONDS, check_health=False)
        answer = self._connection.read_response()
        if answer is None:
            return []
        queue, element = answer[0].decode(), answer[1]
        if queue != self._probe:
            self._next_after(queue)
        return [(queue, element)]

    def _next_after(self, queue: str) -> None:
        """Begin the next turn after this queue, so that none is heard more than another."""
        while self._queues and self._queues[-1] != queue:
            self._queues.rotate(-1)

    def _forget(self, queue: str) -> None:
        """Go on without a key that somebody set to something else, for as long as we are connected.

        While steps wait there the coordinator says so, and the worker connects anew.
        """
        if queue in self._queues:
            self._queues.remove(queue)
            hint = f"delete it: redis-cli DEL {queue}; then the worker finds it again"
            _log.error("queue_is_no_list", queue=queue, hint=hint)

    def _refused(self, error: Exception) -> None:
        if self._may_pop_at_once:
            _log.warning(
                "rpop_refused",
                error=str(error),
                hint="allow `+rpop` (docs/security.md): until then messages come one by one",
            )
        self._may_pop_at_once = False

    def _ring(self, queue: str, element: bytes) -> Ring | None:
        """Return the message in an element of a list; None, and refused, if there is none."""
        try:
            envelope = orjson.loads(element)
        except orjson.JSONDecodeError as error:
            self._refusals.refuse(Refusal.NOT_JSON, f"it is not JSON ({error})", queue)
            return None
        wrong = flaw(envelope)
        if wrong is not None:
            self._refusals.refuse(Refusal.NOT_A_MESSAGE, wrong, queue)
            return None
        body = envelope["body"]
        if envelope["properties"].get("body_encoding") == "base64":
            body = base64.b64decode(body.encode())  # of a text with other letters it would raise
        back = partial(self._give_back, queue, element)
        return Ring(queue, envelope.get("headers"), body, _nothing, back)

    def _give_back(self, queue: str, element: bytes) -> None:
        """Put an element back to where the next pop finds it first."""
        if not self._is_closed:
            self._guard(lambda: self._client.rpush(queue, element))


def _nothing() -> None:
    """Redis keeps no books of what was popped."""
