"""Natural batching: what arrives while a send is in flight goes together in the next one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class _Ticket(Generic[T, R]):
    __slots__ = ("error", "item", "leads", "result", "signal")

    def __init__(self, item: T) -> None:
        self.item = item
        self.result: R | None = None
        self.error: BaseException | None = None
        self.leads = False
        self.signal: threading.Lock | None = None


class Batcher(Generic[T, R]):
    """Callers submit one item each and get its result; one of them sends for all that wait.

    With nobody waiting an item is sent at once, by its own thread: no hand-over, no timer.
    """

    def __init__(
        self,
        send: Callable[[Sequence[T]], Sequence[R]],
        *,
        most: int = 1000,
        gather: Callable[[], None] = lambda: None,
    ) -> None:
        """`gather` is called before each send: it may wait a moment for more to come."""
        self._send = send
        self._most = most
        self._gather = gather
        self._lock = threading.Lock()
        self._waiting: list[_Ticket[T, R]] = []
        self._busy = False

    def submit(self, item: T) -> R:
        """Return what the send gave for `item`. Raises what the send of its batch raised."""
        ticket: _Ticket[T, R] = _Ticket(item)
        with self._lock:
            self._waiting.append(ticket)
            if self._busy:
                # A lock that is held stands for an event, at a quarter of the cost.
                ticket.signal = threading.Lock()
                ticket.signal.acquire()
            else:
                self._busy = ticket.leads = True
        if ticket.signal is not None:
            ticket.signal.acquire()
        if ticket.leads:
            self._lead()
        if ticket.error is not None:
            raise ticket.error
        return ticket.result  # type: ignore[return-value]

    def waiting(self) -> int:
        """Return how many items wait for the send that is in flight."""
        with self._lock:
            return len(self._waiting)

    def _lead(self) -> None:
        self._gather()
        with self._lock:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        try:
            results = self._send([ticket.item for ticket in batch])
            for ticket, result in zip(batch, results, strict=True):
                ticket.result = result
        except BaseException as error:
            for ticket in batch:
                ticket.error = error
        self._hand_over()
        for ticket in batch:
            # The sender has been woken already, or never slept: nobody waits for its signal now.
            if ticket.signal is not None and not ticket.leads:
                ticket.signal.release()

    def _hand_over(self) -> None:
        """Make the first that waits send next; it waits on its signal, so it has one."""
        with self._lock:
            if not self._waiting:
                self._busy = False
                return
            follower = self._waiting[0]
            follower.leads = True
        if follower.signal is not None:
            follower.signal.release()
