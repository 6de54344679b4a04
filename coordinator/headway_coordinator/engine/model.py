"""The facts of a run and its steps, and the changes that a decision makes to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from headway_coordinator.engine.states import STEP_TERMINAL, RunStatus, StepStatus

Outputs = Mapping[str, Any] | tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Paused:
    """Who holds a run back, since when, and why."""

    at: datetime
    by: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A run's own facts. `verdict` is the terminal state that a cancelling run will take.

    `request` is the number of retries that people asked for; `actor` who started it. `group` names
    the runs that it takes turns with; without one it starts at once. `origin` is JSON: what started
    it (`trigger`, `event`, `backfill`) and its data interval, as far as there is any.
    """

    id: str
    team: str
    pipeline: str
    digest: str
    status: RunStatus
    params: Mapping[str, Any]
    actor: str
    priority: int
    logical_date: datetime
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    deadline_at: datetime | None = None
    verdict: RunStatus | None = None
    reason: str | None = None
    request: int = 0
    group: str | None = None
    origin: Mapping[str, Any] = field(default_factory=dict, hash=False)
    paused: Paused | None = None


@dataclass(frozen=True, slots=True)
class Live:
    """The attempt of a step that has not ended: dispatched or running, one state in memory."""

    id: str
    no: int
    fence: int
    queue: str


@dataclass(frozen=True, slots=True)
class Step:
    """A step's facts. `attempts` were made in all; `failures` and `losses` since a reopening.

    A step that runs for each item has its `items` once they are known, no attempts of its own, and
    in the end its children's outputs as a list. A child is a step too, such as `transform[3]`.

    `due_at` is when the step must be looked at: the end of a retry wait or of a deferral, or of the
    time that it may wait in its queue.

    `progress` is JSON: what a step of its kind has been told or has counted so far, such as who
    approved it. A step that is done anew begins without.
    """

    key: str
    status: StepStatus = StepStatus.PENDING
    attempts: int = 0
    failures: int = 0
    losses: int = 0
    live: Live | None = None
    reason: str | None = None
    due_at: datetime | None = None
    ready_at: datetime | None = None
    finished_at: datetime | None = None
    outputs: Outputs = field(default_factory=dict)
    artifacts: tuple[Mapping[str, Any], ...] = ()
    error: Mapping[str, Any] | None = None
    items: tuple[Any, ...] | None = None
    progress: Mapping[str, Any] | None = None

    @property
    def terminal(self) -> bool:
        return self.status in STEP_TERMINAL


def plain_outputs(step: Step) -> Any:
    """Return the step's outputs as JSON: an object, or a list of them."""
    outputs = step.outputs
    return dict(outputs) if isinstance(outputs, Mapping) else [dict(each) for each in outputs]


class Tally(NamedTuple):
    """How a step's needs have ended so far."""

    succeeded: int = 0
    failed: int = 0
    upstream_failed: int = 0
    skipped: int = 0

    @property
    def done(self) -> int:
        return self.succeeded + self.failed + self.upstream_failed + self.skipped


class Children(NamedTuple):
    """How the children of a step stand. `next` is the first one that has not been started since
    the run was opened; `bad` ones have failed or been cancelled."""

    next: int = 0
    open: int = 0
    ok: int = 0
    bad: int = 0


# --- changes -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunCreated:
    """The run is new; storage inserts it and its steps as the rest of the decision leaves them."""

    run: Run


@dataclass(frozen=True, slots=True)
class RunMoved:
    before: Run
    after: Run


@dataclass(frozen=True, slots=True)
class StepMoved:
    before: Step
    after: Step


@dataclass(frozen=True, slots=True)
class ChildMade:
    """A child that was not there before; storage inserts it as the decision leaves it."""

    after: Step


@dataclass(frozen=True, slots=True)
class AttemptMade:
    """A new attempt, born `dispatched`. `work` is the resolved step (JSON) for the claim."""

    attempt: str
    run: str
    step: str
    no: int
    fence: int
    team: str
    queue: str
    work: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """The attempt ends in the database. `expired`: only if its lease has run out there."""

    attempt: str
    run: str
    fence: int
    outcome: str
    reason: str | None = None
    exit_code: int | None = None
    error: Mapping[str, Any] | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    log_bytes: int = 0
    expired: bool = False


Change = RunCreated | RunMoved | StepMoved | ChildMade | AttemptMade | AttemptEnded


# --- effects -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Decide:
    """Evaluate the step's `if`; the answer is a `Decided` or `Unresolvable` event."""

    step: str


@dataclass(frozen=True, slots=True)
class StopAttempts:
    """Ask the rows: dispatched attempts are cancelled and come back as `Withdrawn` with `reason`.

    With `running`, the ones that a worker holds get a cancel request; without, they are left.
    `grace` is how long those have to end by themselves (None: as long as the worker gives).
    """

    run: str
    attempts: tuple[str, ...]
    reason: str
    running: bool
    grace: timedelta | None = None


Effect = Decide | StopAttempts


@dataclass(frozen=True, slots=True)
class Decision:
    """What an event does. `ignored` says why nothing happens: the event is stale or came twice."""

    changes: tuple[Change, ...] = ()
    effects: tuple[Effect, ...] = ()
    ignored: str | None = None
