"""What a run without servers is made of: a coordinator and a worker that meet in one process.

Neither may import the other, so each is found by its entry point (group `headway.local`), and this
module says what they must be. Requests go from the worker to the coordinator as they would over
HTTP, without a socket.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from headway.step_queue import StepQueue

GROUP = "headway.local"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request; `chunks` is its body, to be read before the exchange is left."""

    status: int
    chunks: Iterator[bytes]


class Exchange(Protocol):
    """Sends one request to the API within this process; any thread may."""

    def __call__(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        content: bytes | Iterable[bytes] | None,
    ) -> AbstractContextManager[Answer]: ...


class LocalCoordinator(Protocol):
    """Engine, API and a SQLite file, in threads of this process."""

    transport: Any
    """An `httpx2.BaseTransport` to the API, for `headway.client.Client`."""

    exchange: Exchange

    def start(self) -> None: ...

    def token(self, role: str, team: str | None) -> str:
        """Make a token. The team is added if it is new."""

    def close(self) -> None: ...


class LocalWorker(Protocol):
    """Executors in processes of their own, and threads of this one that wait for them."""

    def start(self, exchange: Exchange, token: str) -> None:
        """Register, and take what the queue holds until `close`."""

    def close(self) -> None:
        """End every step that still runs; no process is left when this returns."""


class MakeCoordinator(Protocol):
    def __call__(self, folder: Path, queue: StepQueue) -> LocalCoordinator: ...


class MakeWorker(Protocol):
    """Makes the worker; starts its launcher, so it comes before any thread."""

    def __call__(
        self, folder: Path, queue: StepQueue, *, code: Path, classes: Sequence[str], slots: int
    ) -> LocalWorker: ...
