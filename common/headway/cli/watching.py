"""Waiting for a run: asks again and again, shows what moved, outlives a silent coordinator."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

from headway.cli.progress import PlainProgress
from headway.cli.snapshot import Snapshot, snapshot, terminal
from headway.clock import Clock, SystemClock
from headway.errors import UnavailableError

if TYPE_CHECKING:
    from headway.client import Client

POLL_S = 0.3
PATIENCE_S = 60.0


class Progress(Protocol):
    """Shows a run while it goes on; `close` leaves the terminal as it was."""

    def show(self, run: Snapshot) -> None: ...
    def say(self, sentence: str) -> None: ...
    def close(self) -> None: ...


def watch(client: Client, id: str) -> Snapshot:
    """Return the run once it has ended; what happens meanwhile is shown on stderr.

    Raises UnavailableError after a minute without an answer.
    """
    clock = SystemClock()
    progress = _progress(clock)
    try:
        return follow(lambda: client.run(id), progress, clock, Event().wait)
    finally:
        progress.close()


def follow(
    ask: Callable[[], dict[str, Any]],
    progress: Progress,
    clock: Clock,
    pause: Callable[[float], Any],
) -> Snapshot:
    """Ask until the run has ended, and return its last snapshot."""
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
        if terminal(run.state):
            return run
        pause(POLL_S)


def _progress(clock: Clock) -> Progress:
    if not sys.stderr.isatty():
        return PlainProgress(sys.stderr, clock)
    from headway.cli.live import LiveProgress

    return LiveProgress(clock)
