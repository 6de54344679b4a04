"""What the use cases of backfills need from storage; the adapter implements it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from headway_coordinator.schedule.backfilling import Date, Only, RunOfDate

BackfillState = Literal["cancelled", "done", "paused", "running"]


@dataclass(frozen=True, slots=True)
class NewBackfill:
    """A backfill to be started. `dedupe` makes its repetition the same one, if `request`, a digest
    of what the caller said, is the same; `body` is {"schedule", "if", "params"} of the trigger."""

    id: str
    team: str
    pipeline: str
    trigger: str | None
    dedupe: str
    request: str
    actor: str
    body: Mapping[str, Any]
    params: Mapping[str, Any]
    from_at: datetime
    until_at: datetime
    newest_first: bool
    choice: Only
    priority: int
    max_in_flight: int


@dataclass(frozen=True, slots=True)
class StoredBackfill:
    """A backfill as it is kept."""

    wanted: NewBackfill
    state: BackfillState
    reason: str | None
    created_at: datetime
    ended_at: datetime | None

    @property
    def id(self) -> str:
        return self.wanted.id


@dataclass(frozen=True, slots=True)
class OpenDate:
    """A date whose run was started and was not yet seen to have ended; `state` is its run's now."""

    backfill: str
    logical_date: datetime
    run: str
    state: str


@dataclass(frozen=True, slots=True)
class WaitingDate:
    """A date that is to be run; `no` says which try it will be."""

    date: Date
    no: int


@dataclass(frozen=True, slots=True)
class TakenDate:
    """A date that waits no longer: its run, or why it gets none."""

    logical_date: datetime
    run: str | None
    outcome: Literal["filtered", "refused"] | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class BackfillFilter:
    """Which backfills a list shows. `teams` None: all."""

    teams: Sequence[str] | None
    limit: int
    cursor: str | None = None
    pipeline: str | None = None
    state: str | None = None


class Backfills(Protocol):
    def runs_of(self, team: str, pipeline: str, first: datetime, last: datetime) -> list[RunOfDate]:
        """Return the pipeline's runs of the dates from `first` to `last`, the oldest first; what is
        accepted, and what another backfill is still to start, comes last, as `queued`."""

    def create(self, new: NewBackfill, dates: Sequence[Date]) -> tuple[StoredBackfill, bool]:
        """Store it with those of the given dates that `choice` leaves; return it, and whether it is
        new. Raises PreconditionFailed if none is left."""

    def get(self, id: str) -> StoredBackfill | None: ...

    def of_key(self, dedupe: str) -> StoredBackfill | None:
        """Return the backfill that was started with this `dedupe`."""

    def listing(self, wanted: BackfillFilter) -> tuple[list[StoredBackfill], str | None]:
        """Return a page, the newest first, and the cursor of the next one."""

    def progress(self, ids: Collection[str]) -> dict[str, dict[str, int]]:
        """Return of each backfill how many of its dates are in which state; see `dates`."""

    def dates(
        self, backfill: StoredBackfill, limit: int, cursor: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Return a page of {logical_date, data_interval_start, data_interval_end, run, state,
        reason} in the backfill's order; `state` is the run's, or waiting, filtered, refused or
        quarantined; `reason` says why it did not succeed, or has no run."""

    def running(self) -> list[StoredBackfill]: ...

    def open_dates(self, ids: Collection[str]) -> list[OpenDate]: ...

    def waiting(self, backfill: StoredBackfill, limit: int) -> list[WaitingDate]:
        """Return the dates that are next, in the backfill's order."""

    def steer(self, id: str, *, before: BackfillState, after: BackfillState, actor: str) -> bool:
        """Move its state from `before` to `after`; False if it is in another one."""

    def cancel(self, id: str, *, actor: str, reason: str | None, keep_running: bool) -> int | None:
        """Let it start no more, and ask its open runs to stop unless they are to be kept.

        Returns how many were asked; None if it has ended.
        """

    def set_lane(self, id: str, *, max_in_flight: int, actor: str) -> int | None:
        """Change how many of its runs may be under way; those that are go on.

        Returns how many it was before; None, with nothing changed, if it has ended.
        """

    def retry(self, id: str, *, actor: str) -> int | None:
        """Let the dates whose run did not succeed wait again, in a backfill that was not cancelled.

        Returns how many they are; None, with nothing changed, if it was cancelled.
        """
