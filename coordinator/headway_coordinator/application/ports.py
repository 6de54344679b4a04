"""What the use cases need from storage, broker and artifact store; adapters implement these.

Every method is one short transaction unless it says otherwise. Times are aware UTC. A write whose
precondition does not hold raises `PreconditionFailed` and rolls its whole transaction back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol

from headway.errors import ConflictError, UnavailableError
from headway.protocol.messages import (
    ClaimBatch,
    Dispatch,
    Heartbeat,
    LostReason,
    Register,
    Work,
)
from headway_coordinator.access.cipher import SealedSecret
from headway_coordinator.engine.model import (
    AttemptEnded,
    AttemptMade,
    Run,
    RunMoved,
    RunState,
    Step,
    StepMoved,
    StopAttempts,
)

if TYPE_CHECKING:
    from headway_coordinator.application.backfill_ports import Backfills
    from headway_coordinator.application.notify_ports import NewNotification, Notifications
    from headway_coordinator.application.trigger_ports import Deciding, Events, NewEvent, Triggers


class PreconditionFailed(ConflictError):
    """A conditional write found another state than it expected."""

    def __init__(self, what: str) -> None:
        super().__init__("precondition_failed", what)


class LeaseLost(ConflictError):
    """The lease row does not carry this epoch and holder any more: step down."""

    def __init__(self, what: str) -> None:
        super().__init__("lease_lost", what)


class StorageUnavailable(UnavailableError):
    """The database cannot be reached, or a commit's fate is unknown."""

    def __init__(self, what: str) -> None:
        super().__init__("database_unavailable", what, "Check HEADWAY_DATABASE_URL and the server.")


# --- leadership --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lease:
    """A hold on a named lease; `expires_at` is on the database's clock."""

    name: str
    epoch: int
    holder: str
    boot: str
    expires_at: datetime


class Leases(Protocol):
    """Uses a connection of its own, so that nothing else delays a renewal."""

    def acquire(self, name: str, *, holder: str, boot: str, term: timedelta) -> Lease | None:
        """Take the lease if it is free or expired on the database's clock; epoch grows by one."""

    def renew(self, lease: Lease, term: timedelta) -> Lease | None:
        """Move the expiry; touches no key column. None: the hold is gone."""

    def release(self, lease: Lease) -> None:
        """Let the lease expire at once, if this hold still has it."""

    def current(self, name: str) -> Lease | None:
        """Return the lease as it stands, expired or not."""


# --- the advancing transaction -----------------------------------------------------------------


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


# --- what is read ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as it lies in the database. `live` of running steps is filled in from the attempts;
    `withdrawn` lists attempts that `stop_attempts` cancelled and whose step did not hear of it yet
    (a crash between); `live` is filled in for those too."""

    run: Run
    steps: tuple[Step, ...]
    withdrawn: tuple[Withdrawal, ...] = ()
    quarantine: str | None = None


InboxKind = Literal["run", "completion", "cancel", "retry"]


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """Something that wants to move a run. `dedupe` makes a repetition harmless."""

    id: int
    run: str
    kind: InboxKind
    dedupe: str
    actor: str
    body: Mapping[str, Any]
    created_at: datetime
    applied_at: datetime | None = None
    result: str | None = None


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


class Runs(Protocol):
    def open_ids(self, limit: int = 100_000) -> list[str]:
        """Return ids of runs that are neither terminal nor quarantined, oldest first."""

    def load(self, ids: Sequence[str]) -> list[StoredRun]:
        """Return those of the runs that exist."""

    def in_group(self, group: str) -> list[InGroup]:
        """Return the runs of a group that have not ended, in the order of their turns."""


@dataclass(frozen=True, slots=True)
class InGroup:
    """A run of a group that has not ended; `started_at` None: it waits for its turn."""

    run: str
    priority: int
    created_at: datetime
    started_at: datetime | None


class Inbox(Protocol):
    def add(
        self, *, run: str, kind: InboxKind, dedupe: str, actor: str, body: Mapping[str, Any]
    ) -> tuple[InboxEntry, bool]:
        """Insert, or return the entry that has this `dedupe` already; the flag says it is new."""

    def add_many(
        self, entries: Sequence[tuple[str, InboxKind, str, str, Mapping[str, Any]]]
    ) -> None:
        """Insert (run, kind, dedupe, actor, body) rows, leaving those whose dedupe is there."""

    def pending(self, limit: int = 500) -> list[InboxEntry]:
        """Return rows with no `applied_at`, oldest first; never by a high-water mark."""


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


@dataclass(frozen=True, slots=True)
class StoredDefinition:
    digest: str
    team: str
    pipeline: str
    version: int
    canonical: Mapping[str, Any]
    source: str
    created_at: datetime
    actor: str


class Definitions(Protocol):
    def put(
        self,
        *,
        canonical: Mapping[str, Any],
        digest: str,
        source: str,
        actor: str,
        reason: str | None = None,
    ) -> tuple[int, bool]:
        """Store as the newest version unless it is that already: (version, changed).

        With a `reason` the audit gets a row, in the same transaction.
        """

    def get(self, digest: str) -> StoredDefinition | None: ...

    def current(self, pipeline: str, team: str | None = None) -> list[StoredDefinition]:
        """Return the newest version of each pipeline of that name (of one team, or of all)."""

    def version(self, team: str, pipeline: str, version: int) -> StoredDefinition | None: ...

    def versions(
        self, team: str, pipeline: str, *, limit: int, before: int | None = None
    ) -> list[dict[str, Any]]:
        """Return {version, digest, owner, created_at, actor}, newest first; those under `before`.

        Empty when there is no such pipeline.
        """

    def listing(self, *, teams: Sequence[str] | None) -> list[dict[str, Any]]:
        """Return {pipeline, team, owner, digest, version, created_at, last_run: {id, state}}."""


Role = Literal["viewer", "operator", "author", "admin", "worker"]


@dataclass(frozen=True, slots=True)
class Token:
    """`team` None: all teams (the platform's own people). `expires_at` None: never."""

    id: str
    subject: str
    team: str | None
    role: Role
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


class Access(Protocol):
    def add_team(self, name: str, actor: str) -> bool:
        """Return whether it is new."""

    def teams(self) -> list[dict[str, Any]]: ...

    def add_token(self, token: Token, sha256: str) -> None: ...

    def find_token(self, sha256: str) -> Token | None:
        """Return a token that is neither revoked nor expired; notes the use once a minute."""

    def tokens(self, team: str | None = None) -> list[Token]: ...

    def revoke_token(self, id: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class SecretInfo:
    """What may be told of a secret. `key_id` names the key that its value is encrypted under."""

    team: str
    name: str
    version: int
    changed_at: datetime
    changed_by: str
    key_id: str


class Secrets(Protocol):
    """Sealed values only: no key is known here."""

    def listing(self, teams: Sequence[str] | None) -> list[SecretInfo]:
        """Return the secrets of those teams (None: of all), by team and name."""

    def find(self, team: str, names: Collection[str]) -> list[SealedSecret]:
        """Return those that exist."""

    def sealed_otherwise(self, key_id: str) -> list[SealedSecret]:
        """Return all that are under another key."""

    def put(self, new: SealedSecret, *, before: int | None, actor: str) -> bool:
        """Store it and an audit row if the present version is `before` (None: there is none)."""

    def reseal(self, old: SealedSecret, new: SealedSecret) -> bool:
        """Put the same value under another key if it is still the old one."""

    def remove(self, team: str, name: str, *, actor: str) -> int | None:
        """Remove it, with an audit row; return the version it had, None if there was none."""


@dataclass(frozen=True, slots=True)
class RunFilter:
    teams: Sequence[str] | None = None
    pipeline: str | None = None
    states: Sequence[str] = ()
    limit: int = 50
    cursor: str | None = None


class Queries(Protocol):
    """For people's eyes; each returns plain JSON-ready values with `datetime`s."""

    def runs(self, wanted: RunFilter) -> tuple[list[dict[str, Any]], str | None]:
        """Return rows {id, pipeline, team, state, reason, actor, created_at, started_at,
        finished_at}, newest first; accepted ones that are not applied yet are `queued`."""

    def run(self, id: str) -> dict[str, Any] | None:
        """Return the shape of `runs show` (docs/api.md): the run, and its steps in plan order with
        state, reason, error, outputs, artifacts and attempts."""

    def steps_brief(self, id: str) -> dict[str, dict[str, Any]]: ...

    def audit(
        self, *, run: str | None, teams: Sequence[str] | None, limit: int, cursor: str | None
    ) -> tuple[list[dict[str, Any]], str | None]: ...

    def queues(self, *, teams: Sequence[str] | None) -> list[dict[str, Any]]:
        """Return {queue, team, class, ready, dispatched, running, oldest_ready_at, workers, slots,
        slots_free} for every queue that has steps, attempts or a live worker."""

    def counts(self) -> dict[str, dict[str, int]]:
        """Return {"runs": {state: n}, "steps": {state: n}} of what is open, for metrics."""


class Storage(Protocol):
    """Everything above, on one database."""

    dialect: Literal["postgresql", "sqlite"]
    leases: Leases
    runs: Runs
    inbox: Inbox
    workers: Workers
    sweeps: Sweeps
    definitions: Definitions
    access: Access
    secrets: Secrets
    queries: Queries
    triggers: Triggers
    events: Events
    backfills: Backfills
    notifications: Notifications

    def deciding(self, lease: Lease) -> AbstractContextManager[Deciding]:
        """Open the deciding transaction. Raises LeaseLost if the row is not this hold's."""

    def advancing(self, lease: Lease) -> AbstractContextManager[Advancing]:
        """Open the advancing transaction. Raises LeaseLost if the row is not this hold's."""

    def close(self) -> None: ...


# --- broker and artifact store -----------------------------------------------------------------


class Doorbell(Protocol):
    """Publishing of dispatches and nudges. Never raises, never blocks: what cannot be sent is
    found by the sweep."""

    def publish(self, dispatches: Iterable[Dispatch]) -> None: ...


class Store(Protocol):
    """Bytes under server-chosen keys: artifacts by content, log chunks by offset."""

    def put(
        self,
        key: str,
        chunks: Iterable[bytes],
        *,
        sha256: str | None = None,
        limit: int | None = None,
    ) -> int:
        """Write once, whole or not at all; returns the size. An existing key is left as it is.

        Raises ConflictError if the content is not of `sha256`, ForbiddenError past `limit` bytes.
        """

    def get(self, key: str) -> Iterable[bytes]:
        """Raises ForbiddenError (404) if the key is not there."""

    def list(self, prefix: str) -> list[tuple[str, int]]:
        """Return (key, size) sorted by key."""
