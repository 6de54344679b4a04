"""Which attempts this worker has taken in, and which of them it holds by a won claim."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from headway.protocol.messages import Held
from headway_worker.stop import Stop, StopReason


def trusted(lease: float) -> float:
    """Return for how many seconds a lease is trusted: its holder ends before others may begin."""
    return lease - min(5.0, lease / 4)


class Entry(Enum):
    """What became of a delivered attempt."""

    ENTERED = "entered"
    DOUBLED = "doubled"
    FULL = "full"


@dataclass(slots=True)
class _Hold:
    """A won claim. By the monotonic clock: its lease began at `since` or later, and is trusted
    until `until`."""

    fence: int
    stop: Stop
    since: float
    until: float


class Roster:
    """Guards the slots; safe to use from many threads."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._changed = threading.Condition()
        self._inside: set[str] = set()
        self._held: dict[str, _Hold] = {}
        self._closed = False

    def enter(self, attempt: str) -> Entry:
        """Take a slot for a delivered attempt, unless it is here already or none is free."""
        with self._changed:
            if attempt in self._inside:
                return Entry.DOUBLED
            if self._closed or len(self._inside) >= self.slots:
                return Entry.FULL
            self._inside.add(attempt)
            return Entry.ENTERED

    def leave(self, attempt: str) -> None:
        """Free the attempt's slot."""
        with self._changed:
            self._inside.discard(attempt)
            self._held.pop(attempt, None)
            self._changed.notify_all()

    def hold(self, attempt: str, fence: int, since: float, lease: float) -> Stop:
        """Note the won claim, asked for at `since`, for a lease of `lease` seconds.

        Return the attempt's stop signal.
        """
        stop = Stop()
        with self._changed:
            self._held[attempt] = _Hold(fence, stop, since, since + trusted(lease))
        return stop

    def renew(self, attempts: Iterable[str], since: float, lease: float) -> None:
        """Note that the attempts' leases were renewed at `since` or later, for `lease` seconds.

        That may be shorter than before: the coordinators' setting may have changed.
        """
        with self._changed:
            for attempt in attempts:
                held = self._held.get(attempt)
                if held is not None and since >= held.since:
                    held.since, held.until = since, since + trusted(lease)

    def first_end(self) -> float | None:
        """Return until when the lease is trusted that is over first; None without any."""
        with self._changed:
            return min((held.until for held in self._held.values()), default=None)

    def release(self, attempt: str) -> None:
        """Forget the claim: the attempt has ended and is spooled, or is not ours any more."""
        with self._changed:
            self._held.pop(attempt, None)

    def held(self) -> list[Held]:
        """Return the attempts whose leases this worker keeps."""
        with self._changed:
            return [Held(attempt=a, fence=held.fence) for a, held in self._held.items()]

    def free(self) -> int:
        """Return how many slots are free."""
        with self._changed:
            return 0 if self._closed else max(0, self.slots - len(self._inside))

    def stop(self, attempt: str, reason: StopReason, grace: float) -> bool:
        """Ask one attempt to end; say whether it is still here."""
        with self._changed:
            found = self._held.get(attempt)
        if found is not None:
            found.stop.request(reason, grace)
        return found is not None

    def stop_all(self, reason: StopReason, grace: float) -> int:
        """Ask every attempt to end; return how many."""
        return self.stop_over(float("inf"), reason, grace)

    def stop_over(self, now: float, reason: StopReason, grace: float) -> int:
        """Ask every attempt to end whose lease is not trusted any more; return how many."""
        with self._changed:
            stops = [held.stop for held in self._held.values() if held.until <= now]
        for stop in stops:
            stop.request(reason, grace)
        return len(stops)

    def close(self) -> None:
        """Take nothing in any more."""
        with self._changed:
            self._closed = True

    def wait_empty(self, timeout: float) -> bool:
        """Wait until nothing is inside; say whether that came true."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._inside, timeout)
