"""How much room the queues have: live workers and occupied slots, counted from rows."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from datetime import timedelta

from headway.clock import Clock
from headway_coordinator.admission.window import Capacity, Window, windows
from headway_coordinator.application.ports import Storage, WorkerInfo

_KEPT = 101  # recent durations a queue, of which the median is taken
_LEARNED_EVERY = 20


class CapacityView:
    """Answers what each queue can take now; remembers recent step times for the window."""

    def __init__(self, clock: Clock, *, live_within: timedelta, refresh: timedelta) -> None:
        self._clock = clock
        self._live_within = live_within
        self._refresh_s = refresh.total_seconds()
        self._workers: list[WorkerInfo] = []
        self._read_at: float | None = None
        self._durations: dict[str, deque[timedelta]] = defaultdict(lambda: deque(maxlen=_KEPT))
        self._medians: dict[str, timedelta] = {}
        self._learned: Counter[str] = Counter()

    def windows(self, storage: Storage, ended: Iterable[str | None] = ()) -> dict[str, Window]:
        """Return the queues' windows.

        `ended` names the workers of attempts that end in the caller's transaction: their rows
        still say running, but their slots are free.
        """
        running: Counter[str] = Counter()
        unclaimed: Counter[str] = Counter()
        for part in storage.sweeps.occupancy():
            if part.state == "dispatched":
                unclaimed[part.queue] += part.count
            elif part.worker is not None:
                running[part.worker] += part.count
        for worker in ended:
            if worker is not None:
                running[worker] -= 1
        capacities = [
            Capacity(w.worker, w.slots, max(0, running[w.worker]), w.queues)
            for w in self.workers(storage)
            if not w.draining
        ]
        return windows(capacities, unclaimed, self._medians)

    def workers(self, storage: Storage) -> list[WorkerInfo]:
        """Return the live workers, at most `refresh` old."""
        now = self._clock.monotonic()
        if self._read_at is None or now - self._read_at >= self._refresh_s:
            self._workers = storage.workers.live(self._live_within)
            self._read_at = now
        return self._workers

    def learn(self, durations: Iterable[tuple[str, timedelta]]) -> None:
        """Remember how long steps of each queue took."""
        for queue, duration in durations:
            self._durations[queue].append(duration)
            self._learned[queue] += 1
            if self._learned[queue] % _LEARNED_EVERY == 1:
                self._medians[queue] = statistics.median_low(self._durations[queue])
