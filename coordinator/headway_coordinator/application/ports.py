"""What the use cases need from storage, broker and artifact store; adapters implement these.

The larger themes have modules of their own, `…_ports`, for which the same holds: every method is
one short transaction unless it says otherwise; times are aware UTC; a write whose precondition does
not hold raises `PreconditionFailed` and rolls its whole transaction back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol

from headway.errors import ConflictError, UnavailableError
from headway.protocol.messages import Dispatch
from headway_coordinator.engine.model import Run, Step

if TYPE_CHECKING:
    from headway_coordinator.application.access_ports import Access, Secrets
    from headway_coordinator.application.advancing_ports import Advancing, Withdrawal
    from headway_coordinator.application.backfill_ports import Backfills
    from headway_coordinator.application.notify_ports import Notifications
    from headway_coordinator.application.pause_ports import Pauses
    from headway_coordinator.application.trigger_ports import Deciding, Events, Triggers
    from headway_coordinator.application.worker_ports import Sweeps, Workers


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


InboxKind = Literal[
    "run", "completion", "cancel", "retry", "clear", "mark", "pause", "resume",
    "approval", "signal", "sub_run",
]  # fmt: skip


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


@dataclass(frozen=True, slots=True)
class RunFilter:
    """`since` and `until` are of a run's creation: at or after the one, before the other."""

    teams: Sequence[str] | None = None
    pipeline: str | None = None
    states: Sequence[str] = ()
    limit: int = 50
    cursor: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Queries(Protocol):
    """For people's eyes; each returns plain JSON-ready values with `datetime`s."""

    def runs(self, wanted: RunFilter) -> tuple[list[dict[str, Any]], str | None]:
        """Return rows {id, pipeline, team, state, reason, actor, created_at, started_at,
        finished_at}, newest first; accepted ones that are not applied yet are `queued`."""

    def run(
        self, id: str, *, child: str | None = None, all_children: bool = False
    ) -> dict[str, Any] | None:
        """Return the shape of `runs show` (docs/api.md): the run, and its steps in plan order with
        state, reason, error, outputs, artifacts and attempts. Of very many children only those that
        tell something are among them, and the one that is named."""

    def steps_brief(self, id: str) -> dict[str, dict[str, Any]]: ...

    def audit(
        self, *, run: str | None, teams: Sequence[str] | None, limit: int, cursor: str | None
    ) -> tuple[list[dict[str, Any]], str | None]: ...

    def queues(self, *, teams: Sequence[str] | None) -> list[dict[str, Any]]:
        """Return {queue, team, class, ready, dispatched, running, oldest_ready_at, workers, slots,
        slots_free} for every queue that has steps, attempts or a live worker."""

    def counts(self) -> dict[str, dict[str, int]]:
        """Return {"runs": {state: n}, "steps": {state: n}} of what is open, for metrics; and of
        backfills that have not ended {"running backfills": {"waiting": n, "in_flight": n}, …}."""


class Storage(Protocol):
    """Everything that is stored, on one database."""

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
    pauses: Pauses

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
