"""The loop that reads the teams' queues of events, while this coordinator leads.

Without a trigger that listens to events there is no connection, and next to nothing to do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import structlog

from headway.clock import Clock
from headway_coordinator.application.hearing import Hearing, Letter, Letters
from headway_coordinator.application.ports import Storage, StorageUnavailable
from headway_coordinator.loops.leadership import Leadership

log = structlog.get_logger("headway.upstream")

_LOOK_S = 30.0  # a lost nudge costs no more than this
_LOOK_AGAIN_S = 1.0  # nudges come with every event
_READ_S = 1.0
_AFTER_TROUBLE_S = 1.0


class UpstreamLoop:
    """One `tick` takes what is there; `wake` says that triggers or leadership may have changed."""

    name = "upstream"

    def __init__(
        self,
        *,
        leadership: Leadership,
        storage: Storage,
        hearing: Hearing,
        letters: Callable[[Sequence[str]], Letters],
        heard: Callable[[], None],
        clock: Clock,
    ) -> None:
        """`letters` opens the queues of some teams; `heard` is called when there are new events."""
        self._leadership = leadership
        self._storage = storage
        self._hearing = hearing
        self._open = letters
        self._heard = heard
        self._clock = clock
        self._woken = threading.Event()
        self._asked = False  # to look soon
        self._wait_s = 0.0
        self._teams: Sequence[str] = ()
        self._letters: Letters | None = None
        self._left: list[Letter] = []  # read, and not kept yet
        self._looked = float("-inf")

    def wake(self) -> None:
        self._woken.set()

    def tick(self) -> float:
        # It waits before it looks at anything: a wake that comes after a look is not forgotten.
        if self._letters is None:
            self._woken.wait(self._wait_s)
        if self._woken.is_set():
            self._woken.clear()
            self._asked = True
        if self._leadership.hold() is None:
            self.close()
            self._wait_s = _LOOK_S
            return 0.0
        try:
            self._look()
            if self._letters is None:
                self._wait_s = 0.0 if self._asked else _LOOK_S
                return _LOOK_AGAIN_S if self._asked else 0.0
            self._take(self._letters)
        except StorageUnavailable as error:
            log.warning("database_unavailable", reason=error.message)
            self._hold_on()
            return _AFTER_TROUBLE_S
        except Exception as error:  # the transports raise whatever their libraries do
            log.warning("upstream_interrupted", error=repr(error))
            self.close()
            return _AFTER_TROUBLE_S
        return 0.0

    def close(self) -> None:
        """Let go of the queues; what is not done stays in them."""
        letters, self._letters = self._letters, None
        self._teams, self._left, self._looked = (), [], float("-inf")
        if letters is not None:
            letters.close()

    def _look(self) -> None:
        """Open the queues of the teams that have a trigger for events."""
        now = self._clock.monotonic()
        if now - self._looked < (_LOOK_AGAIN_S if self._asked else _LOOK_S):
            return
        self._asked = False
        teams = self._storage.triggers.teams_of("event")
        self._looked = now
        if teams == list(self._teams):
            return
        self.close()
        self._looked = now
        if teams:
            self._letters = self._open(teams)
            self._teams = teams
            log.info("upstream_opened", teams=len(teams))

    def _take(self, letters: Letters) -> None:
        self._left = self._left or letters.read(_READ_S)
        if not self._left:
            return
        new = self._hearing.take(self._left)
        letters.done(self._left)
        self._left = []
        if new:
            self._heard()

    def _hold_on(self) -> None:
        """Keep what was read for the next try: given back again and again, RabbitMQ drops it."""
        try:
            if self._letters is not None:
                self._letters.keep_alive()
        except Exception as error:  # as above; then it comes again from the broker
            log.warning("upstream_interrupted", error=repr(error))
            self.close()
