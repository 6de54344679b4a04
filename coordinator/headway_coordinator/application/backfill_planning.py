"""What a backfill would be: its schedule, its range, and the dates that are to be run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from headway import ids
from headway.clock import Clock, rfc3339
from headway.errors import DefinitionError, ForbiddenError
from headway.schedule import CronError, Schedule, ZoneError
from headway_coordinator.access.roles import Identity
from headway_coordinator.application.backfill_ports import NewBackfill
from headway_coordinator.application.intake import RunRequest, run_body, wanted_definition
from headway_coordinator.application.ports import Storage, StoredDefinition
from headway_coordinator.schedule.backfilling import (
    Date,
    Only,
    chosen,
    dates_between,
    moment_in,
)

MOST_DATES = 10_000
LANE_PRIORITY = -100  # behind what runs every day, unless another is given

Order = Literal["newest", "oldest"]


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """A wish for a backfill. `first` and `until` are RFC 3339 times, or days in the schedule's
    zone; `until` None is now. `every` is in seconds; it or `cron` stand for a schedule of its own.
    """

    pipeline: str
    team: str | None
    first: str
    until: str | None = None
    trigger: str | None = None
    every: float | None = None
    cron: str | None = None
    timezone: str | None = None
    params: Mapping[str, Any] | None = None
    order: Order = "oldest"
    only: Only = "all"
    max_in_flight: int = 3
    priority: int | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a backfill would be: `dates` are all of the range, `chosen` those to be run, in time's
    order."""

    new: NewBackfill
    dates: list[Date]
    chosen: list[Date]


def plan_backfill(
    storage: Storage, clock: Clock, identity: Identity, wanted: BackfillRequest
) -> Plan:
    """Return what the backfill would be; nothing is stored.

    Raises:
        ForbiddenError: no such pipeline or trigger is within the identity's scope (404).
        DefinitionError: the schedule, the range or the parameters do not fit.
    """
    definition = wanted_definition(storage, identity, wanted.pipeline, wanted.team)
    trigger, body = _scheduled(storage, definition, wanted)
    schedule = Schedule.of(body["schedule"])
    first, until = _range(wanted, schedule, storage.sweeps.database_now())
    dates = _dates(schedule, first, until)
    _check_params(definition, wanted, body, dates[0])
    span = dates[0].logical_date, dates[-1].logical_date
    runs = storage.backfills.runs_of(definition.team, definition.pipeline, *span)
    own_priority = int(definition.canonical.get("priority", 0))
    given = wanted.priority
    id = ids.new_id(clock)
    new = NewBackfill(
        id=id,
        team=definition.team,
        pipeline=definition.pipeline,
        trigger=trigger,
        dedupe=dedupe_of(definition, wanted.key or id),
        request=fingerprint(wanted),
        actor=identity.subject,
        body=body,
        params=dict(wanted.params or {}),
        from_at=first,
        until_at=until,
        newest_first=wanted.order == "newest",
        choice=wanted.only,
        priority=min(own_priority, LANE_PRIORITY) if given is None else given,
        max_in_flight=wanted.max_in_flight,
    )
    return Plan(new, dates, chosen(wanted.only, dates, runs))


def _scheduled(
    storage: Storage, definition: StoredDefinition, wanted: BackfillRequest
) -> tuple[str | None, dict[str, Any]]:
    """Return the trigger's name and body, or None and the body of a schedule that was given."""
    if wanted.every is not None or wanted.cron is not None:
        if wanted.trigger is not None:
            raise _invalid("a trigger has its own schedule", "leave out trigger, or every and cron")
        return None, {"schedule": _given(wanted), "if": None, "params": {}}
    if wanted.timezone is not None:
        hint = "timezone belongs to cron; a trigger has its own"
        raise _invalid("there is no schedule for this time zone", hint)
    triggers = storage.triggers.of_pipeline(definition.team, definition.pipeline)
    rows = [row for row in triggers if row.kind == "schedule"]
    names = ", ".join(row.name for row in rows)
    if wanted.trigger is not None:
        rows = [row for row in rows if row.name == wanted.trigger]
        if not rows:
            message = f"pipeline `{definition.pipeline}` has no schedule `{wanted.trigger}`"
            hint = f"it has: {names}" if names else "headway triggers list shows what there is"
            raise ForbiddenError("not_found", message, hint, status=404)
    if not rows:
        message = f"pipeline `{definition.pipeline}` has no schedule"
        raise DefinitionError(
            message, code="schedule_needed", hint="say which dates: every 1d, or a cron expression"
        )
    if len(rows) > 1:
        message = f"pipeline `{definition.pipeline}` has several schedules: {names}"
        raise DefinitionError(message, code="trigger_needed", hint="Name the trigger.")
    body = rows[0].body
    return rows[0].name, {key: body.get(key) for key in ("schedule", "if", "params")}


def _given(wanted: BackfillRequest) -> dict[str, Any]:
    canonical = {
        "cron": wanted.cron,
        "every": wanted.every,
        "timezone": wanted.timezone or "UTC",
        "jitter": 0,
        "start": None,
        "end": None,
        "missed": "all",
    }
    try:
        Schedule.of(canonical)
    except (CronError, ZoneError) as error:
        raise _invalid(f"schedule: {error.message}", error.hint) from error
    except ValueError as error:
        raise _invalid(str(error), "give every or cron") from error
    return canonical


def _range(wanted: BackfillRequest, schedule: Schedule, now: datetime) -> tuple[datetime, datetime]:
    """Return the first and the last moment of the range; what is yet to come is left out."""
    try:
        first = moment_in(schedule.zone, wanted.first, is_end=False)
        until = now
        if wanted.until is not None:
            until = min(now, moment_in(schedule.zone, wanted.until, is_end=True))
    except ValueError as error:
        hint = "write a day such as 2026-01-31, or a time such as 2026-01-31T06:00:00Z"
        raise _invalid(str(error), hint) from error
    if first > until:
        message = f"the range is empty: from {rfc3339(first)} until {rfc3339(until)}"
        raise _invalid(message, "it ends now at the latest")
    return first, until


def _dates(schedule: Schedule, first: datetime, until: datetime) -> list[Date]:
    dates = dates_between(schedule, first, until, MOST_DATES + 1)
    span = f"from {rfc3339(first)} until {rfc3339(until)}"
    if not dates:
        hint = "a longer range, or another schedule"
        message = f"the schedule has no date {span}"
        raise DefinitionError(message, code="no_dates", hint=hint)
    if len(dates) > MOST_DATES:
        message = f"the schedule has more than {MOST_DATES:,} dates {span}"
        hint = f"make it several backfills; the first one until {rfc3339(dates[-2].logical_date)}"
        raise DefinitionError(message, code="too_many_dates", hint=hint)
    return dates


def _check_params(
    definition: StoredDefinition, wanted: BackfillRequest, body: Mapping[str, Any], date: Date
) -> None:
    """Raise DefinitionError if the parameters do not fit, as far as that can be seen here.

    What a trigger's `params` are for a date is found out when that date's turn comes.
    """
    if body.get("params"):
        return
    request = RunRequest(definition.pipeline, definition.team, wanted.params or {})
    run_body(definition, request, "backfill", date.logical_date)


def _invalid(message: str, hint: str | None) -> DefinitionError:
    return DefinitionError(message, code="invalid_request", hint=hint)


def dedupe_of(definition: StoredDefinition, key: str) -> str:
    """Return what a backfill of the pipeline with this key is there once by."""
    return f"backfill:{definition.team}:{definition.pipeline}:{key}"


def fingerprint(wanted: BackfillRequest) -> str:
    """What the caller said, not what became of it: the same range may have other dates later."""
    said = replace(wanted, key=None)
    values = {name: getattr(said, name) for name in said.__slots__}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), default=dict)
    return hashlib.sha256(text.encode()).hexdigest()
