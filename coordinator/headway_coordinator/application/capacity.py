"""How much room the queues have: live workers and occupied slots, counted from rows.

Twice a second, that is; in between what was committed is added, so that a leader at work does not
count thousands of rows for each batch. This is for the dispatch window alone, which only decides
how many doorbells lie ahead of the workers: a wrong guess of half a second costs a ring more or
less. A limit that must hold is to be counted in the transaction that admits.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from datetime import timedelta

from headway.clock import Clock
from headway_coordinator.admission.window import Capacity, Window, windows
from headway_coordinator.application.pause_ports import Holds
from headway_coordinator.application.ports import Storage
from headway_coordinator.application.worker_ports import WorkerInfo

_KEPT = 101  # recent durations a queue, of which the median is taken
_LEARNED_EVERY = 20


class CapacityView:
    """Answers what each queue can take now; remembers recent step times for the window."""

    def __init__(self, clock: Clock, *, live_within: timedelta, refresh: timedelta) -> None:
        self._clock = clock
        self._live_within = live_within
        self._refresh_s = refresh.total_seconds()
        self._workers: list[WorkerInfo] = []
        self._running: Counter[str] = Counter()
        self._unclaimed: Counter[str] = Counter()
        self._counted_at: float | None = None
        self._read_at: float | None = None
        self._holds = Holds()
        self._held_at: float | None = None
        self._durations: dict[str, deque[timedelta]] = defaultdict(lambda: deque(maxlen=_KEPT))
        self._medians: dict[str, timedelta] = {}
        self._learned: Counter[str] = Counter()

    def windows(self, storage: Storage, ended: Iterable[str | None] = ()) -> dict[str, Window]:
        """Return the queues' windows.

        `ended` names the workers of attempts that end in the caller's transaction: their rows
        still say running, but their slots are free. Rows are counted at most once a `refresh`;
        in between, what the caller's transactions made and ended is taken into account.
        """
        workers = self.workers(storage)
        self._count(storage)
        running, unclaimed = self._running.copy(), self._unclaimed.copy()
        _free_slots(ended, workers, running, unclaimed)
        capacities = [
            Capacity(w.worker, w.slots, max(0, running[w.worker]), w.queues)
            for w in workers
            if not w.draining
        ]
        return windows(capacities, unclaimed, self._medians)

    def moved(self, made: Iterable[str], ended: Iterable[str | None]) -> None:
        """Take into account what was committed: the queues of new attempts, the ended's workers."""
        _free_slots(ended, self._workers, self._running, self._unclaimed)
        self._unclaimed.update(made)

    def count_again(self) -> None:
        """Count the rows anew next time: something happened that nobody here can follow."""
        self._counted_at = None

    def _count(self, storage: Storage) -> None:
        now = self._clock.monotonic()
        if self._counted_at is not None and now - self._counted_at < self._refresh_s:
            return
        self._running, self._unclaimed = Counter(), Counter()
        for part in storage.sweeps.occupancy():
            if part.state == "dispatched":
                self._unclaimed[part.queue] += part.count
            elif part.worker is not None:
                self._running[part.worker] += part.count
        self._counted_at = now

    def workers(self, storage: Storage) -> list[WorkerInfo]:
        """Return the live workers, at most `refresh` old."""
        now = self._clock.monotonic()
        if self._read_at is None or now - self._read_at >= self._refresh_s:
            self._workers = storage.workers.live(self._live_within)
            self._read_at = now
        return self._workers

    def holds(self, storage: Storage) -> Holds:
        """Return what people hold back, at most `refresh` old."""
        now = self._clock.monotonic()
        if self._held_at is None or now - self._held_at >= self._refresh_s:
            self._holds = Holds(storage.pauses.all())
            self._held_at = now
        return self._holds

    def learn(self, durations: Iterable[tuple[str, timedelta]]) -> None:
        """Remember how long steps of each queue took."""
        for queue, duration in durations:
            self._durations[queue].append(duration)
            self._learned[queue] += 1
            if self._learned[queue] % _LEARNED_EVERY == 1:
                self._medians[queue] = statistics.median_low(self._durations[queue])


def _free_slots(
    ended: Iterable[str | None],
    workers: Iterable[WorkerInfo],
    running: Counter[str],
    unclaimed: Counter[str],
) -> None:
    """Count each ended attempt's slot as taken at once by what waits for it, else as free.

    A claim is not seen here, but a worker with a free slot makes one within milliseconds.
    """
    queues = {w.worker: w.queues for w in workers}
    for worker in ended:
        if worker is None:
            continue
        waiting = next((q for q in queues.get(worker, ()) if unclaimed[q] > 0), None)
        if waiting is None:
            running[worker] -= 1
        else:
            unclaimed[waiting] -= 1
