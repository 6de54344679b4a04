"""Celery's consumer, without its consuming: it answers inspections, and goes on after a defect.

The steps' messages are taken by the listener, on a connection of its own. What Celery still does
here is its remote control, by which Flower and `celery inspect` see the worker, its heartbeat
events, and the pool of threads. Celery's own consumer takes an error that is not the broker's as
the end of the worker.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import structlog
from celery.worker.consumer import Consumer

from headway.redis_transport import count_refusals
from headway.refusals import Refusals

# Seconds between tries to connect; Celery's own would grow to 32.
_RECONNECT = {"interval_start": 0.2, "interval_step": 0.4, "interval_max": 2}
_log = structlog.get_logger()


class StepConsumer(Consumer):  # type: ignore[misc]
    """Takes no messages. Name it to Celery as `worker_consumer`."""

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]
        """Celery's steps, without its delayed delivery, which would declare 28 queues."""

        default_steps: ClassVar = [
            step for step in Consumer.Blueprint.default_steps if "delayed_delivery" not in step
        ]

    refusals = Refusals()
    on_start: Callable[[], None] = staticmethod(lambda: None)
    on_end: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        channel_errors: tuple[type[Exception], ...] = self.conninfo.channel_errors
        self._errors_of_the_broker = (*self.connection_errors, *channel_errors)
        # Celery connects anew after these and ends after all others. A defect here should not cost
        # the worker's steps.
        self.channel_errors = (*channel_errors, Exception)

    def start(self) -> None:
        """Call `on_start`, the pool being there; serve; call `on_end`, for whatever reason."""
        try:
            self.on_start()
            super().start()
        finally:
            self.on_end()

    def loop_args(self) -> tuple[Any, ...]:
        """Return what Celery's loop works with: a consumer that only shows its queues."""
        self.task_consumer.consume = _consume_nothing
        return tuple(super().loop_args())

    def connect(self) -> Any:
        connection = super().connect()
        count_refusals(connection, self.refusals)
        connection.info = partial(_told_of, connection.info)
        return connection

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, trying again sooner than Celery would: a broker that is back finds us there."""
        conn.ensure_connection = partial(conn.ensure_connection, **_RECONNECT)
        return super().ensure_connected(conn)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        self._tell_defect(exc)
        super().on_connection_error_before_connected(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        self._tell_defect(exc)
        super().on_connection_error_after_connected(exc)

    def _tell_defect(self, error: Exception) -> None:
        if not isinstance(error, self._errors_of_the_broker):
            _log.error("consumer_broke", error=repr(error)[:500], exc_info=error)


def _consume_nothing() -> None: ...


def _told_of(info: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what Celery tells everybody who inspects; of itself it hides one password of two."""
    told = info()
    options = dict(told["transport_options"])
    options.pop("sentinel_kwargs", None)
    return {**told, "transport_options": options}
