"""Celery's consumer, with other manners: it drops what it cannot use, and goes on after a defect.

Celery's own logs pages for each message that it cannot use, and takes an error that is not the
broker's as the end of the worker.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import structlog
from celery.worker.consumer import Consumer

from headway.crash_points import crash_point
from headway.protocol.queues import PROBE, TASK
from headway.redis_transport import count_refusals
from headway.refusals import Refusal, Refusals

# Seconds between tries to connect; Celery's own would grow to 32.
_RECONNECT = {"interval_start": 0.2, "interval_step": 0.4, "interval_max": 2}
_log = structlog.get_logger()


class StepConsumer(Consumer):  # type: ignore[misc]
    """Takes step messages and nothing else. Name it to Celery as `worker_consumer`."""

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]
        """Celery's steps without its delayed delivery, which would declare 28 queues."""

        default_steps: ClassVar = [
            step for step in Consumer.Blueprint.default_steps if "delayed_delivery" not in step
        ]

    on_end: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, *args: Any, **options: Any) -> None:
        from headway_worker.app import intake

        super().__init__(*args, **options)
        self._refusals: Refusals = intake().refusals
        self._heard = intake().heard
        channel_errors: tuple[type[Exception], ...] = self.conninfo.channel_errors
        self._errors_of_the_broker = (*self.connection_errors, *channel_errors)
        # Celery connects anew after these and ends after all others. A defect costs one message,
        # which is sent again; it should not cost the worker's other steps.
        self.channel_errors = (*channel_errors, Exception)

    def start(self) -> None:
        """Consume, and call `on_end` when that ends, for whatever reason."""
        try:
            super().start()
        finally:
            self.on_end()

    def connect(self) -> Any:
        connection = super().connect()
        count_refusals(connection, self._refusals)
        connection.info = partial(_told_of, connection.info)
        return connection

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, trying again sooner than Celery would: a broker that is back finds us there."""
        conn.ensure_connection = partial(conn.ensure_connection, **_RECONNECT)
        return super().ensure_connected(conn)

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], None]:
        """Return what takes each message: a step's, whole, or it is dropped here."""
        receive = super().create_task_handler(*args, **options)

        def take(message: Any) -> None:
            message.ack_log_error = partial(_acknowledge, message)
            name = message.headers.get("task") if isinstance(message.headers, dict) else None
            if name == PROBE:
                self._heard(str(message.headers.get("id")))
                _acknowledge(message, _QUIET, self.connection_errors)
            elif name is None:
                self.on_unknown_message(None, message)
            elif name != TASK:
                self.on_unknown_task(None, message, name)
            else:
                receive(message)

        return take

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        self._drop(message, Refusal.UNREADABLE, f"its body cannot be read: {exc}")

    def on_unknown_message(self, body: Any, message: Any) -> None:
        self._drop(message, Refusal.UNKNOWN_TASK, "it names no task")

    def on_unknown_task(self, body: Any, message: Any, exc: Any) -> None:
        name = message.headers.get("task")
        self._drop(message, Refusal.UNKNOWN_TASK, f"it is for the task {str(name)[:100]}")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._drop(message, Refusal.UNREADABLE, f"Celery cannot run it: {exc}")

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        self._tell_defect(exc)
        super().on_connection_error_before_connected(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        self._tell_defect(exc)
        super().on_connection_error_after_connected(exc)

    def _tell_defect(self, error: Exception) -> None:
        if not isinstance(error, self._errors_of_the_broker):
            _log.error("consumer_broke", error=repr(error)[:500], exc_info=error)

    def _drop(self, message: Any, kind: Refusal, why: str) -> None:
        info = message.delivery_info if isinstance(message.delivery_info, dict) else {}
        self._refusals.refuse(kind, why, str(info.get("routing_key", "")))
        # Not acknowledged for lack of a connection, it comes again and is dropped again.
        _acknowledge(message, _QUIET, self.connection_errors)


def _told_of(info: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what Celery tells everybody who inspects; of itself it hides one password of two."""
    told = info()
    options = dict(told["transport_options"])
    options.pop("sentinel_kwargs", None)
    return {**told, "transport_options": options}


@crash_point("steps.acknowledge")
def _acknowledge(message: Any, *given: Any) -> None:
    """Acknowledge a step's message: its completion is on disk, or there is none to come."""
    vars(message).pop("ack_log_error", None)  # this function, from here on of no more use
    message.ack_log_error(*given)


class _Quiet:
    def critical(self, *_args: object, **_kwargs: object) -> None: ...


_QUIET = _Quiet()
