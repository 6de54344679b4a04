"""What the use cases of triggers and events need from storage; the adapters implement these."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from headway_coordinator.application.backfill_ports import OpenDate, TakenDate

Origin = Literal["asset", "broker", "cloudevent", "pipeline", "schedule", "webhook"]
Outcome = Literal["duplicate", "filtered", "matched", "refused", "waiting"]


@dataclass(frozen=True, slots=True)
class TriggerRow:
    """A trigger of a pipeline's newest version; `body` is its canonical form.

    `subject` is what events are looked up by. Of a schedule, `last_at` is the last tick that was
    seen to (else None: nothing before `since` is), and `next_at` when the next one fires.
    """

    team: str
    pipeline: str
    name: str
    kind: str
    subject: str
    body: Mapping[str, Any]
    since: datetime
    last_at: datetime | None
    next_at: datetime | None
    paused_at: datetime | None
    paused_by: str | None

    @property
    def key(self) -> tuple[str, str, str]:
        return self.team, self.pipeline, self.name


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be kept. `dedupe` makes its repetition the same event; `event` is JSON:
    {id, source, type, subject, time, data, name, extensions}, and `replay_of` for a replay."""

    id: str
    team: str
    origin: Origin
    subject: str
    dedupe: str
    actor: str
    event: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it is kept; `decided_at` None: no leader has looked at it yet."""

    id: str
    team: str
    origin: Origin
    subject: str
    dedupe: str
    actor: str
    event: Mapping[str, Any]
    received_at: datetime
    decided_at: datetime | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a trigger made of an event. `waiting`: it gathers more; `wanted` is JSON."""

    event: str
    team: str
    pipeline: str
    trigger: str
    outcome: Outcome
    reason: str | None = None
    run: str | None = None
    dedupe_key: str | None = None
    wanted: Mapping[str, Any] | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        return self.team, self.pipeline, self.trigger


@dataclass(frozen=True, slots=True)
class Gathered:
    """The events that a trigger has gathered and not started a run with."""

    team: str
    pipeline: str
    trigger: str
    count: int
    first_at: datetime
    last_at: datetime

    @property
    def key(self) -> tuple[str, str, str]:
        return self.team, self.pipeline, self.trigger


@dataclass(frozen=True, slots=True)
class Earlier:
    """A decision with the same `dedupe` key: its run, if it has one, and when its event came."""

    team: str
    pipeline: str
    trigger: str
    dedupe_key: str
    run: str | None
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Moved:
    """A schedule that was seen to: from its `last_at` and `next_at` to new ones."""

    before: TriggerRow
    last_at: datetime | None
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class WantedRun:
    """A run to be accepted; the same `dedupe` is the same run."""

    run: str
    dedupe: str
    actor: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events a list shows. `teams` None: all. `deciders`: the teams of whose triggers the
    decisions are shown and looked at; None: of all."""

    teams: Sequence[str] | None
    limit: int
    cursor: str | None = None
    source: str | None = None
    type: str | None = None
    outcome: str | None = None
    pipeline: str | None = None
    deciders: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Glance:
    """What there is to do, in one look: `next_tick` is when a schedule is due at the earliest,
    long ago for one that was never looked at. `now` is the database's time."""

    now: datetime
    undecided: bool
    gathering: bool
    any_trigger: bool
    next_tick: datetime | None


class Triggers(Protocol):
    def glance(self) -> Glance: ...

    def listening(self, kind: str, subject: str) -> list[TriggerRow]:
        """Return the triggers of a kind that listen to exactly this subject, of every team."""

    def of_kind(self, kind: str, team: str | None = None) -> list[TriggerRow]: ...

    def teams_of(self, kind: str) -> list[str]:
        """Return the teams that have a trigger of a kind, by name."""

    def of_pipeline(self, team: str, pipeline: str) -> list[TriggerRow]: ...

    def listing(self, teams: Sequence[str] | None) -> list[TriggerRow]: ...

    def due(self, limit: int) -> list[TriggerRow]:
        """Return schedules that are due or were never looked at, the most overdue first."""

    def pause(self, team: str, pipeline: str, name: str, *, actor: str) -> bool:
        """Pause a trigger; false if it is paused already or not there."""

    def resume(self, team: str, pipeline: str, name: str, *, actor: str) -> bool:
        """Let a paused trigger go on; false if it is not paused or not there."""


class Events(Protocol):
    def add(self, events: Sequence[NewEvent]) -> list[tuple[str, bool]]:
        """Keep the events, all or none; return the id of each and whether it is new."""

    def undecided(self, limit: int) -> list[StoredEvent]: ...

    def get(self, id: str) -> StoredEvent | None: ...

    def many(self, ids: Collection[str]) -> list[StoredEvent]: ...

    def earlier(
        self, keys: Collection[tuple[str, str, str, str]], since: datetime
    ) -> list[Earlier]: ...

    def gathered(self) -> list[Gathered]:
        """Return what every trigger has gathered."""

    def waiting(self, trigger: tuple[str, str, str], limit: int) -> list[StoredEvent]:
        """Return the events that a trigger has gathered, the oldest first."""

    def subjects_waiting(self, trigger: tuple[str, str, str]) -> set[str]:
        """Return the subjects of all events that a trigger has gathered."""

    def forget(self, older_than: timedelta, limit: int) -> int:
        """Delete decided events, none of which a trigger still gathers; return how many."""

    def listing(self, wanted: EventFilter) -> tuple[list[dict[str, Any]], str | None]: ...

    def decisions(self, event: str) -> list[dict[str, Any]]: ...


class Deciding(Protocol):
    """A transaction of the leader that decides; it holds the lease row as an advancing one does."""

    @property
    def now(self) -> datetime: ...

    def tick(self, moves: Sequence[Moved]) -> None:
        """Move schedules that are those of `before`, at its times and not paused, else
        PreconditionFailed."""

    def add_events(self, events: Sequence[NewEvent]) -> None:
        """Keep the events that are not there yet."""

    def decide(self, events: Sequence[str], decisions: Sequence[Decision]) -> None:
        """Write the decisions and mark the events, each undecided so far, as decided."""

    def settle(
        self, trigger: tuple[str, str, str], events: Sequence[str], outcome: Decision
    ) -> None:
        """End the waiting of the trigger's decisions on these events, all of which wait."""

    def hold_backfill(self, backfill: str, max_in_flight: int) -> None:
        """Keep a running backfill whose lane is so wide from being steered or changed, else
        PreconditionFailed.

        To be called before anything else is done to it.
        """

    def take_dates(self, backfill: str, taken: Sequence[TakenDate]) -> None:
        """Give dates of the backfill, all of which wait, their runs, or none."""

    def settle_dates(self, ended: Sequence[OpenDate]) -> None:
        """Note that the runs of these dates, none of which is settled yet, have ended."""

    def end_backfill(self, backfill: str) -> None:
        """Say that the backfill is done, each of whose dates is settled."""

    def start(self, runs: Sequence[WantedRun]) -> None:
        """Put the runs into the inbox."""
