"""What is needed of storage about workers and their attempts: claimed, renewed, found lost; the
adapters implement it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol

from headway.protocol.messages import (
    ClaimBatch,
    Dispatch,
    Heartbeat,
    LostReason,
    Register,
    Work,
)


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How many live attempts a queue and (for running ones) a worker has; counted from rows."""

    queue: str
    state: Literal["dispatched", "running"]
    worker: str | None
    count: int


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker as last heard of; `queues` are full queue names."""

    worker: str
    boot: str
    team: str
    queues: tuple[str, ...]
    slots: int
    slots_free: int
    draining: bool
    hostname: str
    version: str
    registered_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """A dispatched attempt and what its message says."""

    dispatch: Dispatch
    dispatched_at: datetime
    claim_deadline: datetime


@dataclass(frozen=True, slots=True)
class Expired:
    """A running attempt whose lease has run out (or that its worker reported as reaped)."""

    run: str
    attempt: str
    fence: int
    reaped: bool


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """Won has `work`; lost has `reason`."""

    attempt: str
    fence: int
    work: Work | None
    reason: LostReason | None


@dataclass(frozen=True, slots=True)
class HeartbeatResult:
    superseded: bool
    renewed: Sequence[str] = ()
    lost: Sequence[str] = ()
    cancel: Sequence[str] = ()
    grace_ms: Mapping[str, int] = field(default_factory=dict)
    acknowledged: Sequence[str] = ()
    resend: Sequence[str] = ()


class Workers(Protocol):
    """Claim and heartbeat; need no leader."""

    def register(self, team: str, message: Register) -> None:
        """Upsert the worker with its new boot; older boots are superseded from now on.

        Raises ForbiddenError if the worker id belongs to another team.
        """

    def claim(self, team: str, batch: ClaimBatch, lease: timedelta) -> list[ClaimResult] | None:
        """`dispatched → running` where attempt, fence, queue and team match and no cancel is asked;
        sets worker, boot, lease. Repeated by the same worker and boot: the same answer (won again).
        None: the boot is superseded. One conditional UPDATE … RETURNING for the whole batch."""

    def heartbeat(self, team: str, beat: Heartbeat, lease: timedelta) -> HeartbeatResult:
        """Renew running and finished-but-unacknowledged attempts of this worker and boot whose row
        is still running, also past their lease.

        `lost`: rows of `running` that are not this worker's any more. `cancel`: running with
        `cancel_at`. `acknowledged`: `finished` whose row is terminal or not theirs. `resend`:
        `finished` whose row still runs, under any boot of this worker. `reaped`: rows of the same
        worker and an older boot get `reaped_at` (never those with a completion in the inbox)."""

    def live(self, within: timedelta) -> list[WorkerInfo]:
        """Return workers seen within that time on the database's clock."""

    def all(self) -> list[WorkerInfo]: ...

    def holders(self, attempts: Sequence[str], *, team: str | None) -> dict[str, AttemptHold]:
        """Return who holds each attempt (of that team), for logs, artifacts and completions."""


@dataclass(frozen=True, slots=True)
class AttemptHold:
    attempt: str
    run: str
    step: str
    no: int
    fence: int
    state: str
    team: str
    worker: str | None
    boot: str | None


class Sweeps(Protocol):
    def occupancy(self) -> list[Occupancy]: ...

    def overdue(self, limit: int = 1000) -> list[Unclaimed]:
        """Dispatched attempts past their claim deadline, oldest first."""

    def unclaimed(self, limit: int = 10_000) -> list[Unclaimed]:
        """All dispatched attempts, oldest first."""

    def late(self, by: timedelta) -> list[str]:
        """Queues with an attempt that was dispatched longer than `by` ago and is not claimed."""

    def expired(self, limit: int = 1000) -> list[Expired]:
        """Running attempts whose lease has run out, or that were reaped."""

    def stranded(self, limit: int = 1000) -> list[str]:
        """Open runs with a step that runs although its newest attempt is not live: something moved
        a row behind the leader's back, or a withdrawal has not been told yet."""

    def database_now(self) -> datetime: ...
