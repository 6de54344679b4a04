"""How far a backfill is, in words, and waiting for its end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from threading import Event
from typing import TYPE_CHECKING, Any, TextIO

from headway.cli.printing import clean, moment, print_document, span
from headway.clock import Clock, SystemClock
from headway.errors import UnavailableError

if TYPE_CHECKING:
    from headway.client import Client

INTERRUPTED = 130
POLL_S = 1.0
PATIENCE_S = 60.0
ENDED = ("cancelled", "done")

Ask = Callable[[], Mapping[str, Any]]


def progress_words(backfill: Mapping[str, Any], left_s: float | None = None) -> str:
    """Return how many dates are done, how they ended, and in how many seconds the rest may be."""
    counts: Mapping[str, int] = backfill.get("progress") or {}
    total, waiting, in_flight = (counts.get(k, 0) for k in ("total", "waiting", "in_flight"))
    words = [f"{total - waiting - in_flight} of {total} done"]
    told = {"failed": "failed", "cancelled": "cancelled", "filtered": "filtered out"}
    told |= {"in_flight": "in flight", "waiting": "waiting"}
    words += [f"{counts[key]} {word}" for key, word in told.items() if counts.get(key)]
    if left_s is not None:
        words.append(f"some {span(left_s)} left")
    return ", ".join(words)


def seconds_left(backfill: Mapping[str, Any], clock: Clock) -> float | None:
    """Return how long it takes to its end if it goes on as it did since it was started.

    None before the first date is done, and for one that does not go on.
    """
    counts: Mapping[str, int] = backfill.get("progress") or {}
    started = moment(backfill.get("created_at"))
    open_dates = counts.get("waiting", 0) + counts.get("in_flight", 0)
    done = counts.get("total", 0) - open_dates
    if started is None or not done or backfill.get("state") != "running":
        return None
    return max((clock.now() - started).total_seconds(), 0.0) / done * open_dates


def wait_for_dates(client: Client, started: Mapping[str, Any], *, as_json: bool) -> int:
    """Show the backfill until it has ended and its runs have; return the status that it means."""
    id = str(started["id"])
    try:
        last = follow(lambda: client.backfill(id, limit=1), sys.stderr, SystemClock(), Event().wait)
    except KeyboardInterrupt:
        if as_json:
            print_document(started)
        else:
            print(id)
        hint = f"headway backfill show {id}"
        print(f"interrupted; the backfill goes on: {hint}", file=sys.stderr)
        return INTERRUPTED
    if as_json:
        print_document({k: v for k, v in last.items() if k not in ("dates", "next")})
    else:
        print(f"backfill {id} is {last['state']}: {progress_words(last)}")
    return status_of(last)


def status_of(backfill: Mapping[str, Any]) -> int:
    """Return the exit status of a backfill that has ended: 0 if no date is without success."""
    counts: Mapping[str, int] = backfill.get("progress") or {}
    missed = sum(counts.get(kind, 0) for kind in ("failed", "cancelled", "waiting"))
    return 0 if backfill.get("state") == "done" and not missed else 1


def follow(
    ask: Ask, stream: TextIO, clock: Clock, pause: Callable[[float], Any]
) -> Mapping[str, Any]:
    """Ask until it has ended with all its runs, and return what was answered last.

    Raises UnavailableError after a minute without an answer.
    """
    shown = ""
    silent_since: float | None = None
    while True:
        try:
            backfill = ask()
        except UnavailableError as error:
            now = clock.monotonic()
            if silent_since is None:
                silent_since = now
                _say(stream, f"{error.message}; asking again for up to {PATIENCE_S:.0f} s")
            if now - silent_since >= PATIENCE_S:
                raise
            pause(POLL_S)
            continue
        silent_since = None
        known = f"{backfill.get('state')} {progress_words(backfill)}"
        if known != shown:
            left = progress_words(backfill, seconds_left(backfill, clock))
            paused = "paused: " if backfill.get("state") == "paused" else ""
            _say(stream, f"{clock.now():%H:%M:%SZ}  {paused}{left}")
            shown = known
        if _has_ended(backfill):
            return backfill
        pause(POLL_S)


def _has_ended(backfill: Mapping[str, Any]) -> bool:
    counts: Mapping[str, int] = backfill.get("progress") or {}
    return backfill.get("state") in ENDED and not counts.get("in_flight")


def _say(stream: TextIO, sentence: str) -> None:
    print(clean(sentence), file=stream, flush=True)
