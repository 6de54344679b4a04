"""What can happen to a run; a closed union. The answers to effects are events too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from headway_coordinator.engine.states import StepStatus


@dataclass(frozen=True, slots=True)
class Finished:
    """An attempt ended: a worker said so, or (`expired`) the sweep found its lease run out.

    `outcome` is one of succeeded, failed, timed_out, cancelled, lost.
    """

    attempt: str
    fence: int
    outcome: str
    reason: str | None = None
    exit_code: int | None = None
    error: Mapping[str, Any] | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    artifacts: tuple[Mapping[str, Any], ...] = ()
    started_at: datetime | None = None
    finished_at: datetime | None = None
    log_bytes: int = 0
    expired: bool = False


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A dispatched attempt was cancelled in the database before any worker claimed it."""

    attempt: str
    fence: int
    reason: str


@dataclass(frozen=True, slots=True)
class Decided:
    """The step's `if` was evaluated."""

    step: str
    value: bool


@dataclass(frozen=True, slots=True)
class Unresolvable:
    """An expression of the step failed or was over its budget."""

    step: str
    message: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """The step may run now: an attempt of it is made with the resolved `work`."""

    step: str
    queue: str
    work: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Expanded:
    """The items of a step that runs once for each of them are known."""

    step: str
    items: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Deferred:
    """The step waits outside any worker: until `until`, or with None for what it is told."""

    step: str
    until: datetime | None
    progress: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """What the step waited for outside any worker has come to its end: `status` is the step's."""

    step: str
    status: StepStatus
    outputs: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """The moment that the step (or, with None, the run) waited for has come."""

    step: str | None


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Stop the run. What runs gets `grace` to end by itself (None: a few seconds). `force`: none,
    and nothing more of the run starts, `finally` neither."""

    actor: str
    reason: str | None = None
    force: bool = False
    grace: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """The turn of a queued run has come: it may start."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The run cannot be started at all, such as when its group's key has no value."""

    message: str


@dataclass(frozen=True, slots=True)
class RetryRequested:
    """Go on with an ended run from what did not succeed."""

    actor: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ClearRequested:
    """Do steps again, and (`downstream`) all that follows them. `force`: stop live ones first."""

    actor: str
    steps: tuple[str, ...]
    downstream: bool = True
    force: bool = False
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class MarkRequested:
    """Give steps a state (succeeded, failed or skipped) by hand. `force`: stop live ones first."""

    actor: str
    steps: tuple[str, ...]
    status: StepStatus
    outputs: Mapping[str, Any] = field(default_factory=dict)
    force: bool = False
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class PauseRequested:
    """Start nothing new of the run for now."""

    actor: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ResumeRequested:
    """Let a paused run go on."""

    actor: str
    reason: str | None = None


Event = (
    Finished
    | Withdrawn
    | Decided
    | Unresolvable
    | Admitted
    | Expanded
    | Deferred
    | Released
    | Due
    | CancelRequested
    | Opened
    | Refused
    | RetryRequested
    | ClearRequested
    | MarkRequested
    | PauseRequested
    | ResumeRequested
)
