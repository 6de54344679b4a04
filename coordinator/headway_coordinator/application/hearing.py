"""Events that upstream systems publish through the broker, a queue a team.

A message leaves its queue after the commit that keeps its event. One that comes twice is the same
event, by source and id. What is no CloudEvent is counted and dropped: nobody could mend it there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from headway.protocol.queues import event_queue
from headway.refusals import Refusal, Refusals
from headway_coordinator.application.ports import StorageUnavailable
from headway_coordinator.application.receiving import Received
from headway_coordinator.triggers.event import Event
from headway_coordinator.triggers.hooks import MalformedEvent

log = structlog.get_logger("headway.upstream")

LONGEST_BYTES = 1024 * 1024
_STRUCTURED = "application/cloudevents+json"
_BATCHED = "application/cloudevents-batch+json"
_TYPES = {
    "application/json": _STRUCTURED,
    _STRUCTURED: _STRUCTURED,
    _BATCHED: _BATCHED,
}


@dataclass(frozen=True, slots=True)
class Letter:
    """A message of a team's queue. `flaw` says why it is none; `ticket` is the broker's."""

    team: str
    content_type: str
    body: bytes
    ticket: Any
    flaw: str | None = None


class Letters(Protocol):
    """The queues of some teams, at one broker. After any error it is closed and not used again."""

    def read(self, seconds: float) -> list[Letter]:
        """Return some of what waits, the oldest first; wait up to `seconds` for a first one."""

    def keep_alive(self) -> None:
        """Keep the connection while what was read is not done; to be called every few seconds."""

    def done(self, letters: Sequence[Letter]) -> None:
        """Remove letters from their queues. What is not done comes again."""

    def close(self) -> None: ...


class Hearing:
    """Keeps what letters hold; one thread calls it."""

    def __init__(
        self,
        keep: Callable[[str, Sequence[Event]], Sequence[Received]],
        parse: Callable[[Mapping[str, str], bytes], Sequence[Event]],
        refusals: Refusals,
    ) -> None:
        """`parse` reads a CloudEvent by its content type, and raises MalformedEvent."""
        self._keep = keep
        self._parse = parse
        self._refusals = refusals

    def take(self, letters: Sequence[Letter]) -> int:
        """Keep the letters' events; return how many are new. All letters are done then.

        Raises:
            StorageUnavailable: some of them may not be kept; take them all again.
        """
        of_team: dict[str, list[Event]] = {}
        for letter in letters:
            of_team.setdefault(letter.team, []).extend(self._events(letter))
        return sum(self._kept(team, events) for team, events in of_team.items() if events)

    def _events(self, letter: Letter) -> Sequence[Event]:
        why = letter.flaw
        kind = _TYPES.get(letter.content_type.partition(";")[0].strip().lower())
        if why is None and len(letter.body) > LONGEST_BYTES:
            why = f"it has {len(letter.body):,} bytes, more than {LONGEST_BYTES:,}"
        if why is None and kind is None:
            why = f"its content type is {letter.content_type[:80]!r}"
        try:
            if why is None:
                return self._parse({"content-type": str(kind)}, letter.body)
        except MalformedEvent as error:
            why = str(error)
        self._refuse(why or "", letter.team)
        return ()

    def _kept(self, team: str, events: Sequence[Event]) -> int:
        try:
            return sum(one.created for one in self._keep(team, events))
        except StorageUnavailable:
            raise
        except Exception as error:  # one event that cannot be kept must not stop the others
            if len(events) > 1:
                return sum(self._kept(team, [event]) for event in events)
            log.exception("event_not_kept", team=team, type=events[0].type)
            self._refuse(f"it cannot be kept: {type(error).__name__}", team)
            return 0

    def _refuse(self, why: str, team: str) -> None:
        self._refusals.refuse(Refusal.NOT_AN_EVENT, why, event_queue(team))
