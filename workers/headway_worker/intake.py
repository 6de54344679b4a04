"""The door between Celery and attempts: what a delivered message must be to get a slot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import structlog

from headway.protocol.envelope import task_arguments, task_headers, task_id
from headway.protocol.messages import DISPATCH_LIMIT_BYTES, Dispatch, MessageError, parse
from headway.refusals import Refusal, Refusals, in_words
from headway_worker.overflow import Kept, Overflow
from headway_worker.roster import Entry, Roster

# Celery wraps the dispatch into [args, kwargs, embedded].
_BODY_LIMIT_BYTES = 2 * DISPATCH_LIMIT_BYTES
_log = structlog.get_logger()


class Intake:
    """Admits messages in Celery's own thread, runs them in its pool's."""

    def __init__(
        self,
        roster: Roster,
        handle: Callable[[Dispatch], None],
        *,
        queues: list[str],
        refusals: Refusals,
        heard: Callable[[str], None] = lambda probe: None,
    ) -> None:
        """`heard` is told of each probe by which the worker hears itself."""
        self._roster = roster
        self._handle = handle
        self.heard = heard
        self.refusals = refusals
        self.is_draining = False
        self._overflow = Overflow(queues, lambda: self.is_draining)

    def gate(self, task: Any, celery_app: Any, consumer: Any) -> Callable[..., None]:
        """Return a message handler that runs nothing that would have to wait in the pool.

        After a reconnect the broker may deliver again what runs here, or more than there are
        slots: behind a step of hours it would wait unseen, while elsewhere a slot is free.
        """
        from celery.worker.strategy import default

        handle = default(task, celery_app, consumer)
        errors = consumer.connection_errors

        def receive(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any) -> None:
            try:
                dispatch = _dispatch(message.body)
            except MessageError as error:
                self.refusals.refuse(Refusal.MALFORMED, in_words(error))
                ack(_SILENT, errors)
                return

            def admit() -> bool:
                """Run it, or drop it if it runs here already; False: no slot is free."""
                match self._roster.enter(dispatch.attempt):
                    case Entry.FULL:
                        return False
                    case Entry.DOUBLED:
                        why = f"the attempt {dispatch.attempt} is being performed here"
                        self.refusals.refuse(Refusal.REPEATED, why)
                        ack(_SILENT, errors)
                    case Entry.ENTERED:
                        run()
                return True

            def run() -> None:
                _write_anew(message, dispatch)
                task.__trace__ = self._trace  # Celery sets its own after it asked for this gate
                try:
                    handle(message, None, ack, reject, callbacks)
                except BaseException:
                    self._roster.leave(dispatch.attempt)
                    raise

            def give_back() -> None:
                reject(_SILENT, errors, True)

            if self.is_draining:
                give_back()
            elif not admit():
                self._overflow.keep(consumer, Kept(admit, give_back))

        return receive

    def _trace(self, _id: str, args: Any, _kwargs: Any, _request: Any) -> Any:
        """Run the task as Celery's own tracer would, without what no step needs.

        Signals, results, retries and the request's context cost a short step more than all else.
        """
        from celery.app.trace import trace_ok_t

        self.run(args[0])
        return trace_ok_t(None, None, 0.0, "None")

    def run(self, dispatch: dict[str, Any]) -> None:
        """Handle an admitted dispatch and free its slot."""
        parsed = Dispatch.model_validate(dispatch)
        try:
            self._handle(parsed)
        except Exception:  # the edge of the pool: one message must not end the worker
            _log.exception("dispatch_broke", attempt=parsed.attempt)
        finally:
            self._roster.leave(parsed.attempt)
            self._overflow.slot_freed()


def _dispatch(body: Any) -> Dispatch:
    raw = body.encode() if isinstance(body, str) else bytes(body)
    if len(raw) > _BODY_LIMIT_BYTES:
        raise MessageError(
            f"a Dispatch of {len(raw)} bytes is over the {_BODY_LIMIT_BYTES} allowed"
        )
    try:
        match orjson.loads(raw):
            case [[dict() as dispatch], *_]:
                return parse(Dispatch, orjson.dumps(dispatch))
    except orjson.JSONDecodeError as error:
        raise MessageError(f"not a Dispatch: it is no JSON ({error})") from error
    raise MessageError("not a Dispatch: it is not an object in the place of Celery's one argument")


def _write_anew(message: Any, dispatch: Dispatch) -> None:
    """Leave nothing in the message but its dispatch.

    Celery heeds much that could have been sent along: a time to begin, an expiry, another content
    type. Each would keep the slot without running the step.
    """
    # As values and without a content type, Celery does not decode it a second and a third time.
    message.body = message._decoded_cache = task_arguments(dispatch)
    message.content_type = message.content_encoding = None
    message.headers = task_headers(dispatch)
    message.properties = {"correlation_id": task_id(dispatch)}


class _Silent:
    """Takes what Celery would log about a broken connection, which it also handles itself."""

    def critical(self, *_args: object, **_kwargs: object) -> None: ...

    debug = error = warning = critical


_SILENT = _Silent()
