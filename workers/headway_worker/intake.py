"""The door between the broker and attempts: what a delivered message must be to get a slot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import structlog

from headway.crash_points import crash_point
from headway.protocol.messages import DISPATCH_LIMIT_BYTES, Dispatch, MessageError, parse
from headway.protocol.queues import PROBE, TASK
from headway.refusals import Refusal, Refusals, in_words
from headway_worker.broker.contract import Ring
from headway_worker.roster import Entry, Roster

# Celery wraps the dispatch into [args, kwargs, embedded].
_BODY_LIMIT_BYTES = 2 * DISPATCH_LIMIT_BYTES
_log = structlog.get_logger()


class Intake:
    """Admits messages in the listener's thread, runs them in those of Celery's pool."""

    def __init__(
        self,
        roster: Roster,
        handle: Callable[[Dispatch], None],
        *,
        refusals: Refusals,
        heard: Callable[[str], None] = lambda probe: None,
    ) -> None:
        """`heard` is told of each probe by which the worker hears itself."""
        self._roster = roster
        self._handle = handle
        self._heard = heard
        self.refusals = refusals
        self.is_draining = False
        self.submit: Callable[[Dispatch, Ring], object] = self.run
        self.slot_freed: Callable[[], None] = lambda: None

    def room(self) -> int:
        return self._roster.free()

    def take(self, ring: Ring) -> None:
        """Refuse the message, or let its step run."""
        name = ring.headers.get("task") if isinstance(ring.headers, dict) else None
        if name == PROBE:
            self._heard(str(ring.headers.get("id")))
        elif name is None:
            self._refuse(ring, Refusal.UNKNOWN_TASK, "it names no task")
        elif name != TASK:
            why = f"it is for the task {str(name)[:100]}"
            self._refuse(ring, Refusal.UNKNOWN_TASK, why)
        elif self.is_draining:
            ring.give_back()
        else:
            self._admit(ring)

    def run(self, dispatch: Dispatch, ring: Ring) -> None:
        """Handle an admitted dispatch and free its slot."""
        try:
            self._handle(dispatch)
        except Exception:  # the edge of the pool: one message must not end the worker
            _log.exception("dispatch_broke", attempt=dispatch.attempt)
        finally:
            _acknowledge(ring)
            self._roster.leave(dispatch.attempt)
            self.slot_freed()

    def _admit(self, ring: Ring) -> None:
        """Run the step unless it runs here already.

        After a reconnect the broker may deliver again what runs here, or more than there are
        slots: behind a step of hours it would wait unseen, while elsewhere a slot is free.
        """
        try:
            dispatch = _dispatch(ring.body)
        except MessageError as error:
            self._refuse(ring, Refusal.MALFORMED, in_words(error))
            return
        match self._roster.enter(dispatch.attempt):
            case Entry.FULL:
                ring.give_back()
            case Entry.DOUBLED:
                why = f"the attempt {dispatch.attempt} is being performed here"
                self._refuse(ring, Refusal.REPEATED, why)
            case Entry.ENTERED:
                try:
                    self.submit(dispatch, ring)
                except BaseException:
                    self._roster.leave(dispatch.attempt)
                    raise

    def _refuse(self, ring: Ring, kind: Refusal, why: str) -> None:
        self.refusals.refuse(kind, why, ring.queue)
        ring.done()


@crash_point("steps.acknowledge")
def _acknowledge(ring: Ring) -> None:
    """Acknowledge a step's message: its completion is on disk, or there is none to come."""
    ring.done()


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
