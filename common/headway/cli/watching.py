"""Waiting for a run: asks again and again, shows what moved, outlives a silent coordinator."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

from headway.cli.printing import rows_of
from headway.cli.progress import PlainProgress
from headway.cli.snapshot import Snapshot, snapshot, terminal
from headway.clock import Clock, SystemClock
from headway.errors import HeadwayError, UnavailableError

if TYPE_CHECKING:
    from headway.client import Client

POLL_S = 0.3
PATIENCE_S = 60.0
STILL_S = 5.0


class Progress(Protocol):
    """Shows a run while it goes on; `close` leaves the terminal as it was."""

    def show(self, run: Snapshot) -> None: ...
    def say(self, sentence: str) -> None: ...
    def close(self) -> None: ...


def watch(client: Client, id: str, *, retries: int = 0) -> Snapshot:
    """Return the run once it has ended or is set aside; what happens meanwhile is shown on stderr.

    A run that was asked to go on still shows its earlier end until it counts that many `retries`.
    Raises UnavailableError after a minute without an answer.
    """

    def ask() -> dict[str, Any]:
        run = client.run(id)
        is_of_before = int(run.get("retries") or 0) < retries
        return {**run, "state": "queued"} if is_of_before else run

    clock = SystemClock()
    progress = Explained(progress_on(clock), lambda: client.explain(id), clock)
    try:
        return follow(ask, progress, clock, Event().wait)
    finally:
        progress.close()


def follow(
    ask: Callable[[], dict[str, Any]],
    progress: Progress,
    clock: Clock,
    pause: Callable[[float], Any],
) -> Snapshot:
    """Ask until the run has ended or is set aside, and return its last snapshot."""
    silent_since: float | None = None
    while True:
        try:
            run = snapshot(ask())
        except UnavailableError as error:
            now = clock.monotonic()
            if silent_since is None:
                silent_since = now
                progress.say(f"{error.message}; asking again for up to {PATIENCE_S:.0f} s")
            if now - silent_since >= PATIENCE_S:
                raise
            pause(POLL_S)
            continue
        if silent_since is not None:
            silent_since = None
            progress.say("it answers again")
        progress.show(run)
        if run.still:
            if not terminal(run.state):
                progress.say(f"set aside, it will not move: {run.raw['quarantine']}")
            return run
        pause(POLL_S)


class Explained:
    """Progress that says why nothing moves, once it has not for a while."""

    def __init__(
        self, progress: Progress, explain: Callable[[], dict[str, Any]], clock: Clock
    ) -> None:
        self._progress = progress
        self._explain = explain
        self._clock = clock
        self._seen: object = None
        self._since = clock.monotonic()
        self._said: set[str] = set()

    def show(self, run: Snapshot) -> None:
        self._progress.show(run)
        seen = (run.state, tuple((step.phase, step.tries) for step in run.steps))
        if seen != self._seen:
            self._seen, self._since = seen, self._clock.monotonic()
        elif self._clock.monotonic() - self._since >= STILL_S and not _moves(run):
            self._since = self._clock.monotonic()
            self._tell()

    def say(self, sentence: str) -> None:
        self._progress.say(sentence)

    def close(self) -> None:
        self._progress.close()

    def _tell(self) -> None:
        try:
            steps = rows_of(self._explain(), "steps")
        except HeadwayError:
            return  # the run itself is asked for again in a moment, and that failure is told
        for step in steps:
            for blocker in rows_of(step, "blockers"):
                sentence = f"{step.get('step')} waits: {blocker.get('message')}"
                if blocker.get("code") != "upstream" and sentence not in self._said:
                    self._said.add(sentence)
                    self.say(sentence)


def _moves(run: Snapshot) -> bool:
    """Return whether the run has ended, or something in it goes on by itself."""
    busy = ("running", "retry_wait", "deferred")
    return terminal(run.state) or any(step.phase in busy for step in run.steps)


def progress_on(clock: Clock) -> Progress:
    """Return progress as it suits stderr: drawn in place on a terminal, else in lines."""
    if not sys.stderr.isatty():
        return PlainProgress(sys.stderr, clock)
    from headway.cli.live import LiveProgress

    return LiveProgress(clock)
