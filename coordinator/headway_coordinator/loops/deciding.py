"""The loop that decides on events and lets schedules fire, while this coordinator leads.

It has a thread of its own: an expression of a trigger delays no run that is under way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from headway.clock import Clock
from headway_coordinator.application.deciding import Decider, DecidingReport
from headway_coordinator.application.ports import Lease, LeaseLost, Storage, StorageUnavailable
from headway_coordinator.application.scheduling import Scheduler
from headway_coordinator.loops.leadership import Leadership

log = structlog.get_logger("headway.triggers")

_IDLE_S = 5.0  # a lost nudge costs no more than this
_FOLLOW_S = 1.0
_AFTER_TROUBLE_S = 1.0


class Part(Protocol):
    """Something that starts runs and is due from time to time."""

    def fire(self, lease: Lease) -> tuple[DecidingReport, datetime | None]:
        """Do what is due; return what that was, and when there is more."""


class DecideLoop:
    """One `tick` takes what is there; `wake` ends its wait from any thread."""

    name = "triggers"

    def __init__(
        self,
        *,
        leadership: Leadership,
        storage: Storage,
        decider: Decider,
        scheduler: Scheduler,
        parts: list[Part],
        clock: Clock,
        started: Callable[[], None],
        warm: Callable[[], None] = lambda: None,
    ) -> None:
        """`started` is called when there are new runs in the inbox, `warm` once, when there is a
        trigger."""
        self._warm = warm
        self._warmed = False
        self._leadership = leadership
        self._storage = storage
        self._decider = decider
        self._scheduler = scheduler
        self._parts = parts
        self._clock = clock
        self._started = started
        self._woken = threading.Event()
        self._wait_s = 0.0

    def wake(self) -> None:
        self._woken.set()

    def tick(self) -> float:
        self._woken.wait(self._wait_s)
        self._woken.clear()
        lease = self._leadership.hold()
        if lease is None:
            self._wait_s = _FOLLOW_S
            return 0.0
        try:
            self._wait_s = self._work(lease)
        except LeaseLost as error:
            log.info("fenced", reason=error.message)
            self._wait_s = _FOLLOW_S
        except StorageUnavailable as error:
            log.warning("database_unavailable", reason=error.message)
            self._wait_s = _AFTER_TROUBLE_S
        return 0.0

    def _work(self, lease: Lease) -> float:
        """Do all that is due; return how many seconds there is nothing to do."""
        seen = self._storage.triggers.glance()
        if seen.any_trigger and not self._warmed:
            self._warm()  # the first event need not wait for what evaluates its expressions
            self._warmed = True
        soonest, runs, more = seen.next_tick, 0, False
        ticked = seen.next_tick is not None and seen.next_tick <= seen.now
        if ticked:
            more = self._scheduler.tick(lease) > 0
        if seen.undecided or ticked:
            decided = self._decider.decide(lease)
            runs += decided.runs
            more = more or decided.events > 0
        parts: list[Part] = [self._decider, *self._parts] if seen.gathering else self._parts
        for part in parts:
            outcome, again = part.fire(lease)
            runs += outcome.runs
            if again is not None and (soonest is None or again < soonest):
                soonest = again
        if runs:
            self._started()
        if more:
            return 0.0  # there may be more, or something that has been gathered
        if soonest is None:
            return _IDLE_S
        return min(_IDLE_S, max(0.0, (soonest - seen.now) / timedelta(seconds=1)))
