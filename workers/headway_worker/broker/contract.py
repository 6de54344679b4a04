"""What a worker needs of a broker to take its steps' messages from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Ring:
    """A delivered message, not looked at yet; `done` and `give_back` may be called from any thread.

    `headers` is what the sender put there, of whatever type. After its connection has ended, both
    calls do nothing: the broker has the message again, or has lost it.
    """

    queue: str
    headers: Any
    body: Any
    done: Callable[[], None]
    give_back: Callable[[], None]


class Source(Protocol):
    """One connection that consumes; after any error it is closed and another one is made.

    It belongs to the listener's thread; `wake` and `break_off` may be called from any.
    """

    def take(self, room: int) -> list[Ring]:
        """Return at most `room` messages of steps, and any number of probes.

        Waits some seconds for the first, but not after `wake`. Raises UnavailableError.
        """

    def pause(self) -> None:
        """Take no steps any more, and give back those that are here. Raises UnavailableError."""

    def wake(self) -> None:
        """End a wait for room, as there is some now; or for a message, if that can be."""

    def break_off(self) -> None:
        """Make `take` fail soon, as if the connection had been cut."""

    def close(self) -> None: ...
