"""What the leader writes with: the advancing transaction; the adapter implements it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from headway.plan.model import PlanStep
from headway_coordinator.application.notify_ports import NewNotification
from headway_coordinator.application.trigger_ports import NewEvent
from headway_coordinator.engine.model import (
    AttemptEnded,
    AttemptMade,
    Run,
    RunMoved,
    Step,
    StepMoved,
    StopAttempts,
)
from headway_coordinator.engine.state import RunState


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A dispatched attempt that `stop_attempts` cancelled."""

    run: str
    attempt: str
    fence: int
    reason: str


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row a transaction and run: the transitions as a list of `{entity, from, to, …}`."""

    run: str
    team: str
    actor: str
    transitions: Sequence[Mapping[str, Any]]


class Advancing(Protocol):
    """An open transaction that holds the lease row FOR KEY SHARE; commits when its block ends.

    A wrong row count anywhere raises PreconditionFailed. All methods take whole batches and cost
    a bounded number of statements, however long the batch is. They need not wait for what they
    send: whatever is found wrong, a lost lease before all else, is raised by the next method that
    returns something, or at the end of the block. Nothing is committed before that.
    """

    @property
    def now(self) -> datetime:
        """The database's time when the transaction began; waits for everything sent so far."""

    def create_runs(self, states: Sequence[RunState]) -> None:
        """Insert runs and their steps as the states say."""

    def move_runs(self, moves: Sequence[RunMoved]) -> None:
        """Update runs where the stored state and request number are `before`'s."""

    def move_steps(self, moves: Sequence[tuple[str, StepMoved]]) -> None:
        """Update steps (run id, move) where the stored state and attempts are `before`'s."""

    def expand_steps(
        self, expanded: Sequence[tuple[str, Step]], made: Sequence[tuple[Run, PlanStep, Step]]
    ) -> None:
        """Write the items of steps (run id, step) that have moved in this transaction to the state
        that they are in, and insert children that are not there yet."""

    def make_attempts(self, made: Sequence[AttemptMade], claim_within: timedelta) -> None:
        """Insert attempts as `dispatched`, number 1, claim deadline now + `claim_within`."""

    def end_attempts(self, ended: Sequence[AttemptEnded]) -> None:
        """Running attempts with the right fence become terminal; `expired` ones only if their lease
        has run out on the database's clock."""

    def settle_attempts(self, ended: Sequence[AttemptEnded]) -> None:
        """As `end_attempts`, as far as they run: those of runs that do not move any more, whose
        workers' slots are free all the same."""

    def stop_attempts(self, stops: Sequence[StopAttempts]) -> list[Withdrawal]:
        """Dispatched → cancelled (returned); with `running`, running ones get `cancel_at`.

        Attempts in another state are left: no row count is demanded.
        """

    def redispatch(
        self, attempts: Sequence[tuple[str, int]], waits: Sequence[timedelta]
    ) -> list[str]:
        """Still dispatched attempts (id, dispatch number) get number + 1 and a new claim deadline
        of now + wait; returns the ids that were."""

    def mark_applied(self, entries: Sequence[tuple[int, str]]) -> None:
        """Set `applied_at` and the result text of inbox rows that have none yet."""

    def audit(self, entries: Sequence[AuditEntry]) -> None:
        """Insert the rows, with the lease's epoch and holder."""

    heard: int
    """How many events were kept so far, once `now` was read."""

    def tell(self, events: Sequence[NewEvent]) -> None:
        """Keep events of runs and assets; the end of a run only if a trigger listens to it."""

    def note(self, notifications: Sequence[NewNotification]) -> None:
        """Keep notifications; a recovery only if it is one, as this transaction leaves the runs."""

    def quarantine(self, run: str, reason: str) -> None:
        """Mark an open run as not to be advanced, and why; withdraw its unclaimed attempts."""
