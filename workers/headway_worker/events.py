"""The worker's way to the event queue of the broker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headway.broker_options import is_redis
from headway.crash_points import crash_point
from headway.errors import UnavailableError
from headway_worker.senders import RabbitSender, RedisSender

_MOST = 500
_LARGEST = 4 * 1024 * 1024


class EventQueue:
    """Publishes completions; belongs to one thread. Connects when first used, and after errors."""

    def __init__(self, broker_url: str, tag: str) -> None:
        self._url = broker_url
        self._tag = tag
        self._sender: RedisSender | RabbitSender | None = None

    @crash_point("completions.publish")
    def publish(self, bodies: Sequence[str]) -> None:
        """Hand sealed completions (as JSON) to the broker, as few messages as their size allows.

        Raises:
            UnavailableError: `broker`, some may not have arrived; the connection is given up.
        """
        try:
            if self._sender is None:
                self._sender = self._new_sender()
            self._sender.send(list(_joined(bodies)))
        except Exception as error:  # kombu's transports raise errors of many libraries
            self.close()
            raise UnavailableError(
                "broker", f"cannot publish: {type(error).__name__}: {error}"
            ) from error

    def _new_sender(self) -> RedisSender | RabbitSender:
        if is_redis(self._url):
            return RedisSender(self._url, self._tag)
        return RabbitSender(self._url)

    def close(self) -> None:
        """Give the connection up."""
        sender, self._sender = self._sender, None
        if sender is not None:
            try:
                sender.close()
            except Exception:  # it is being given up because it is broken
                pass


def _joined(bodies: Sequence[str]) -> Iterator[str]:
    """Yield batches as JSON, each small enough for the coordinator."""
    batch: list[str] = []
    size = 0
    for body in bodies:
        if batch and (len(batch) == _MOST or size + len(body) > _LARGEST):
            yield _batch(batch)
            batch, size = [], 0
        batch.append(body)
        size += len(body)
    if batch:
        yield _batch(batch)


def _batch(bodies: Sequence[str]) -> str:
    return f'{{"completions":[{",".join(bodies)}]}}'
