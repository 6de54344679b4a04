"""Triggers as people see and steer them: listed with their next times, paused, resumed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from headway.errors import ConflictError, ForbiddenError
from headway.schedule import Schedule, next_ticks
from headway_coordinator.access.roles import Identity
from headway_coordinator.application.hook_secrets import unprovable
from headway_coordinator.application.ports import Storage
from headway_coordinator.application.secrets import Secrets
from headway_coordinator.application.trigger_ports import TriggerRow

NEXT_TIMES = 3


def listed_triggers(
    storage: Storage,
    secrets: Secrets,
    identity: Identity,
    team: str | None,
    pipeline: str | None,
) -> list[dict[str, Any]]:
    """Return the triggers of the newest versions, with the next times of each schedule, and why
    a webhook takes nothing or a schedule does not fire, if so it is."""
    teams = identity.teams_of(team)
    if teams == []:
        return []
    now = storage.sweeps.database_now()
    rows = storage.triggers.listing(teams)
    wanted = [row for row in rows if pipeline in (None, row.pipeline)]
    hooks = any(row.kind == "webhook" for row in wanted)
    readable = secrets.readable(teams) if hooks else {}
    return [_shown(row, now, readable) for row in wanted]


def _shown(
    row: TriggerRow, now: datetime, readable: Mapping[tuple[str, str], bool]
) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "team": row.team,
        "pipeline": row.pipeline,
        "trigger": row.name,
        "kind": row.kind,
        "about": row.body[row.kind],  # of a webhook: which secrets, never what they are
        "if": row.body.get("if"),
        "since": row.since,
        "paused_at": row.paused_at,
        "paused_by": row.paused_by,
        "address": None,
        "next": [],
        "problem": None,
    }
    if row.kind == "webhook":
        shown["address"] = f"/api/v1/hooks/{row.subject}"
        found = unprovable(row, readable)
        if found is not None:
            shown["problem"] = {"message": found.message, "hint": found.hint}
    if row.kind == "schedule" and row.paused_at is None:
        try:
            schedule = Schedule.of(row.body["schedule"], row.key)
            shown["next"] = list(islice(next_ticks(schedule, now), NEXT_TIMES))
        except Exception as error:  # a zone that this host lacks, a newer version's body
            shown["problem"] = _unreadable(error)
    return shown


def _unreadable(error: Exception) -> dict[str, str]:
    known = isinstance(error, ValueError)
    reason = str(error)[:200] if known else f"a {type(error).__name__} while it was read"
    hint = "bring all coordinators and their time zones to one version, or change the schedule"
    return {"message": f"the schedule does not fire: {reason}", "hint": hint}


def pause_trigger(
    storage: Storage, identity: Identity, team: str, pipeline: str, name: str, *, paused: bool
) -> dict[str, Any]:
    """Pause a trigger, or let it go on. What comes while it is paused starts no run, ever.

    A schedule that goes on treats the ticks in between as missed ones.

    Raises:
        ForbiddenError: there is no such trigger within the identity's scope (404).
        ConflictError: it is paused already, or not paused.
    """
    rows = storage.triggers.of_pipeline(team, pipeline) if identity.covers(team) else []
    if not any(row.name == name for row in rows):
        known = ", ".join(row.name for row in rows)
        hint = f"it has: {known}" if known else "headway triggers list shows what there is"
        message = f"pipeline `{pipeline}` has no trigger `{name}`"
        raise ForbiddenError("not_found", message, hint, status=404)
    act = storage.triggers.pause if paused else storage.triggers.resume
    if not act(team, pipeline, name, actor=identity.subject):
        state = "paused already" if paused else "not paused"
        raise ConflictError("nothing_to_do", f"the trigger `{name}` is {state}")
    return {"team": team, "pipeline": pipeline, "trigger": name, "paused": paused}
