"""A step's time as segments of the run's: queued, running, retry wait, waiting outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headway_coordinator.page.words import duration, look

_NARROWEST = 0.4  # percent; what is shorter would not be seen


@dataclass(frozen=True, slots=True)
class Segment:
    """Left edge and width in percent of the run's time; `kind` names the style and the word."""

    left: float
    width: float
    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Span:
    """The run's time: from its making to its end, or to now."""

    start: datetime
    end: datetime

    def segment(self, kind: str, begin: datetime | None, end: datetime | None) -> Segment | None:
        """Return the part of the span between the two times, None if it has no place in it."""
        whole = (self.end - self.start).total_seconds()
        if begin is None or whole <= 0:
            return None
        first, last = max(begin, self.start), min(end or self.end, self.end)
        if last < first:
            return None
        left = 100 * (first - self.start).total_seconds() / whole
        width = max(_NARROWEST, 100 * (last - first).total_seconds() / whole)
        left = min(left, 100 - _NARROWEST)
        words = f"{WORDS[kind]} {duration(last - first)}"
        return Segment(round(left, 2), round(min(width, 100 - left), 2), kind, words)


WORDS = {
    "queued": "queued",
    "running": "running",
    "ok": "ran, succeeded",
    "fail": "ran, did not succeed",
    "retry": "waited to retry",
    "outside": "waited outside",
}


def segments(step: Mapping[str, Any], span: Span) -> list[Segment]:
    """Return the step's segments in order of time."""
    return [segment for segment in _raw(step, span) if segment is not None]


def _raw(step: Mapping[str, Any], span: Span) -> Iterator[Segment | None]:
    attempts = sorted(step["attempts"], key=lambda a: int(a["no"]))
    since = step.get("ready_at")
    if "items" in step:
        if since is not None and step["state"] != "ready":
            kind = {"succeeded": "ok", "running": "running"}.get(step["state"], "fail")
            yield span.segment(kind, since, step["finished_at"])
        return
    if not attempts:
        if since is not None and step["state"] != "pending":
            outside = step["state"] != "ready"
            yield span.segment("outside" if outside else "queued", since, step["finished_at"])
        return
    first = attempts[0]["queued_at"]
    if len(attempts) == 1 and since is not None and first is not None and since < first:
        yield span.segment("queued", since, first)
    for attempt, following in zip(attempts, [*attempts[1:], None], strict=True):
        yield from _attempt(attempt, span)
        ended = attempt["finished_at"]
        if following is not None:
            yield span.segment("retry", ended, following["queued_at"])
        elif step["state"] == "retry_wait":
            yield span.segment("retry", ended, None)


def _attempt(attempt: Mapping[str, Any], span: Span) -> Iterator[Segment | None]:
    queued, started, ended = (attempt[k] for k in ("queued_at", "started_at", "finished_at"))
    yield span.segment("queued", queued, started or ended)
    if started is not None:
        tone = look(attempt["state"]).tone
        kind = {"ok": "ok", "fail": "fail"}.get(tone, "fail" if ended else "running")
        yield span.segment(kind, started, ended)
