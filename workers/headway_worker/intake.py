"""The door between Celery and attempts: what a delivered message must be to get a slot."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import structlog

from headway.protocol.messages import DISPATCH_LIMIT_BYTES, Dispatch, MessageError, parse
from headway_worker.roster import Roster

# Celery wraps the dispatch into [args, kwargs, embedded].
_BODY_LIMIT_BYTES = 2 * DISPATCH_LIMIT_BYTES
_log = structlog.get_logger()


class Intake:
    """Admits messages in Celery's own thread, runs them in its pool's."""

    def __init__(self, roster: Roster, handle: Callable[[Dispatch], None]) -> None:
        self._roster = roster
        self._handle = handle
        self.is_draining = False

    def gate(self, task: Any, celery_app: Any, consumer: Any) -> Callable[..., None]:
        """Return a message handler that drops at once what must not wait in the pool.

        After a reconnect the broker may deliver again what runs here, or more than there are
        slots: behind a step of hours it would wait unseen, while elsewhere a slot is free.
        """
        from celery.worker.strategy import default

        handle = default(task, celery_app, consumer)
        errors = consumer.connection_errors

        def receive(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any) -> None:
            try:
                dispatch = _dispatch(message)
            except (MessageError, ValueError, TypeError, IndexError) as error:
                _log.error("dispatch_refused", error=str(error)[:500])
                ack(_SILENT, errors)
                return
            if self.is_draining:
                reject(_SILENT, errors, True)
            elif self._roster.enter(dispatch.attempt):
                handle(message, body, ack, reject, callbacks)
            else:
                _log.info("dispatch_dropped", attempt=dispatch.attempt)
                ack(_SILENT, errors)

        return receive

    def run(self, dispatch: dict[str, Any]) -> None:
        """Handle an admitted dispatch and free its slot."""
        parsed = Dispatch.model_validate(dispatch)
        try:
            self._handle(parsed)
        except Exception:  # the edge of the pool: one message must not end the worker
            _log.exception("dispatch_broke", attempt=parsed.attempt)
        finally:
            self._roster.leave(parsed.attempt)


def _dispatch(message: Any) -> Dispatch:
    body = message.body
    raw = body if isinstance(body, bytes) else str(body).encode()
    if len(raw) > _BODY_LIMIT_BYTES:
        raise MessageError(f"a dispatch of {len(raw)} bytes")
    return parse(Dispatch, json.dumps(json.loads(raw)[0][0]))


class _Silent:
    """Takes what Celery would log about a broken connection, which it also handles itself."""

    def critical(self, *_args: object, **_kwargs: object) -> None: ...

    debug = error = warning = critical


_SILENT = _Silent()
