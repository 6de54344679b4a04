"""Counts what processes refuse to take from the broker, and says so once a kind.

Whoever may write to the broker can send anything, any number of times: the kinds are a closed set,
so that neither labels of metrics nor the log grow with what is sent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import StrEnum

import structlog
from pydantic import ValidationError

log = structlog.get_logger("headway.refusals")

_REASON_CHARACTERS = 300
_PROBLEMS = 3


class Refusal(StrEnum):
    """Why a message was dropped; these are labels of metrics."""

    NOT_JSON = "not_json"
    NOT_A_MESSAGE = "not_a_message"
    UNREADABLE = "unreadable"
    UNKNOWN_TASK = "unknown_task"
    MALFORMED = "malformed"
    FORGED = "forged"
    REPEATED = "repeated"
    STALE = "stale"
    NOT_AN_EVENT = "not_an_event"


_FOREIGN = "Something other than Headway writes to its queues. Give it a database of its own."
_HINTS = {
    Refusal.NOT_JSON: _FOREIGN,
    Refusal.NOT_A_MESSAGE: _FOREIGN,
    Refusal.UNREADABLE: _FOREIGN,
    Refusal.UNKNOWN_TASK: "A Celery app of others uses this queue. Give it another database.",
    Refusal.MALFORMED: "Its sender may be of another version of Headway, or not be Headway at all.",
    Refusal.REPEATED: "Brokers deliver twice now and then; many come from somebody who replays.",
    Refusal.STALE: "Some are normal: cancelled, or rung again while it ran. Many are replayed.",
    Refusal.NOT_AN_EVENT: "Publish CloudEvents 1.0 as JSON; docs/events-by-broker.md shows how.",
    Refusal.FORGED: "Coordinators have different secret keys, or somebody forges reports.",
}


# These come with reconnects and cancels, too, and nothing is to be mended then.
_USUAL = (Refusal.REPEATED, Refusal.STALE)


def _nobody(_kind: str) -> None: ...


class Refusals:
    """The counts of one consumer, from any of its threads; `told` is called for each refusal."""

    def __init__(self, told: Callable[[str], None] = _nobody) -> None:
        self._told = told
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(Refusal, 0)

    def refuse(self, kind: Refusal, why: str, queue: str = "") -> None:
        """Count a dropped message; the first of a kind is logged, a flood of them is not."""
        with self._lock:
            self._counts[kind] += 1
            is_first = self._counts[kind] == 1
        self._told(str(kind))
        if is_first:
            said = {"queue": queue} if queue else {}
            tell = log.info if kind in _USUAL else log.warning
            tell(
                "message_refused",
                kind=str(kind),
                reason=why[:_REASON_CHARACTERS],
                hint=_HINTS[kind],
                note="Further ones of this kind are counted, not logged.",
                **said,
            )

    def counts(self) -> dict[str, int]:
        """Return how many were refused so far, for every kind there is."""
        with self._lock:
            return {str(kind): count for kind, count in self._counts.items()}


def in_words(error: Exception) -> str:
    """Return what is wrong with a message, in one line: which fields, and how."""
    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        return str(error)
    problems = cause.errors(include_url=False, include_context=False, include_input=False)
    named = [
        ": ".join(part for part in (".".join(map(str, each["loc"])), each["msg"]) if part)
        for each in problems[:_PROBLEMS]
    ]
    more = len(problems) - _PROBLEMS
    return f"not a {cause.title}: " + "; ".join(named) + (f"; and {more} more" if more > 0 else "")
