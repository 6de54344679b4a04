"""What an executor is given and what it may answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from headway.protocol.messages import Work
from headway_worker.runner.process import Sink
from headway_worker.stop import Stop


@dataclass(frozen=True, slots=True)
class Done:
    """The step succeeded. `text` says that outputs may still be text of another declared type."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    text: bool = False
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The step failed, by its own fault or its definition's."""

    code: str
    message: str
    exit_code: int | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """Nothing can be said of the step, as what watched it is gone: no failure of the team's."""

    reason: str


Result = Done | Failed | Lost


@dataclass(frozen=True, slots=True)
class Context:
    """What surrounds one attempt. Times are readings of the monotonic clock."""

    env: Mapping[str, str]
    code: Path
    cwd: Path
    output: Path
    log: Sink
    last_line: Callable[[], str]
    stop: Stop
    deadline: float | None
    on_deadline: Callable[[], None]
    on_started: Callable[[int, str], None]


class Executor(Protocol):
    """Performs steps of one kind; called from many threads."""

    def perform(self, work: Work, context: Context) -> Result:
        """Return how the step ended. It ends early when `context.stop` or the deadline says so."""
