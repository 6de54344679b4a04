"""Several messages a round trip, for a consumer that was full and has room again.

kombu asks Redis for one element at a time: a blocking pop, a turn of its loop, a reply. A consumer
whose slots were all taken a moment ago has most likely a line before it, so what it has room for is
taken at once, without a turn of the loop. The first pop that finds nothing ends that, and kombu's
blocking pop waits as ever.
"""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

import orjson
import structlog
from kombu.transport import redis as kombu_redis
from redis.exceptions import ResponseError

# A larger answer would keep the loop from everything else.
_MOST = 100
_log = structlog.get_logger("headway.redis")


class EagerPoller(kombu_redis.MultiChannelPoller):  # type: ignore[misc]
    """Lets each channel take what waits before it polls."""

    def on_poll_start(self) -> None:
        for channel in list(self._channels):
            channel.take_waiting()
        super().on_poll_start()


class EagerChannel(kombu_redis.Channel):  # type: ignore[misc]
    """A channel that notes when it is full. Belongs to the consumer's thread."""

    _was_full = False
    _may_pop = True

    def take_waiting(self) -> None:
        """Take as many elements as there is room for, if the channel was full until now.

        What is taken and not delivered, because the connection breaks or a consumer raises, is
        lost to the broker, as with its blocking pop; the sweep finds it.
        """
        room = self._room()
        if room == 0:
            self._was_full = True
        elif self._was_full and not self._in_poll and self._is_connected():
            self._was_full = False
            if self._may_pop and room is not None:
                self._was_full = self._take(min(room, _MOST))

    def take_element(self, element: bytes, queue: str) -> Any:
        """Deliver an element of a list, as kombu would."""
        self.connection._deliver(orjson.loads(element), queue)

    def _room(self) -> int | None:
        """Return how many more messages may be held; None: any number."""
        limit = int(self.qos.prefetch_count)
        held = len(self.qos._delivered) - len(self.qos._dirty)
        return max(0, limit - held) if limit else None

    def _is_connected(self) -> bool:
        connection = getattr(self.client, "connection", None)
        return bool(self.active_queues) and getattr(connection, "_sock", None) is not None

    def _take(self, room: int) -> bool:
        """Take up to `room` elements, of the queues in turn; say whether that filled it."""
        queues = list(self._queue_cycle.consume(len(self.active_queues)))
        failure: Exception | None = None
        while room and queues:
            asked = list(islice(cycle(queues), room))
            for queue, element in zip(asked, self._pop(asked), strict=True):
                if element is None:
                    queues = [other for other in queues if other != queue]
                    continue
                room -= 1
                self._queue_cycle.rotate(queue)
                try:
                    self.take_element(element, queue)
                except Exception as error:  # the others are taken already: not lost for this one
                    failure = failure or error
        if failure is not None:
            raise failure
        return not room

    def _pop(self, queues: list[str]) -> list[bytes | None]:
        """Return an element of each queue named, in one round trip; None where it is empty."""
        connection = self.client.connection
        commands = [("RPOP", self._q_for_pri(queue, self.priority_steps[0])) for queue in queues]
        try:
            connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            return [self._reply(connection) for _ in queues]
        except BaseException:
            # Replies that were not read would answer the next command.
            connection.disconnect()
            raise

    def _reply(self, connection: Any) -> bytes | None:
        try:
            element: bytes | None = self.client.parse_response(connection, "RPOP")
        except ResponseError as error:
            if self._may_pop:
                _log.warning(
                    "rpop_refused",
                    error=str(error),
                    hint="allow `+rpop` (docs/security.md): until then messages come one by one",
                )
            self._may_pop = False
            return None
        return element
