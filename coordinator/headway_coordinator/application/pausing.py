"""Pipelines, queues and teams that people hold back: admission leaves their steps waiting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from headway.errors import ConflictError, DefinitionError, ForbiddenError
from headway.protocol.queues import split_queue
from headway_coordinator.access.roles import Identity
from headway_coordinator.application.identity import demand_team
from headway_coordinator.application.intake import wanted_definition
from headway_coordinator.application.pause_ports import Holds, PauseKind
from headway_coordinator.application.ports import Storage


def steer_pipeline(
    storage: Storage, identity: Identity, team: str, name: str, *, pause: bool, reason: str | None
) -> dict[str, Any]:
    """Pause a pipeline or let it go on. Runs of it are accepted all the same, and wait.

    Raises:
        ForbiddenError: there is no such pipeline within the identity's scope (404).
        ConflictError: it is paused already, or not paused.
    """
    wanted_definition(storage, identity, name, team)
    return _steer(storage, identity, ("pipeline", team, name), pause=pause, reason=reason)


def steer_queue(
    storage: Storage, identity: Identity, queue: str, *, pause: bool, reason: str | None
) -> dict[str, Any]:
    """Pause a queue, `TEAM.CLASS`, or let it go on; raises as `steer_pipeline`."""
    try:
        team, name = split_queue(queue)
    except ValueError as error:
        hint = "a queue is called TEAM.CLASS; headway queues lists them"
        raise DefinitionError(str(error), code="bad_class", hint=hint) from error
    _demand_team(storage, identity, team)
    return _steer(storage, identity, ("queue", team, name), pause=pause, reason=reason)


def steer_team(
    storage: Storage, identity: Identity, team: str, *, pause: bool, reason: str | None
) -> dict[str, Any]:
    """Pause all of a team, or let it go on; raises as `steer_pipeline`."""
    _demand_team(storage, identity, team)
    return _steer(storage, identity, ("team", team, ""), pause=pause, reason=reason)


def _demand_team(storage: Storage, identity: Identity, team: str) -> None:
    if not identity.covers(team):
        message = f"there is no team `{team}`, or you act for another"
        raise ForbiddenError("not_found", message, "headway team list", status=404)
    demand_team(storage.access, team)


def _steer(
    storage: Storage,
    identity: Identity,
    place: tuple[PauseKind, str, str],
    *,
    pause: bool,
    reason: str | None,
) -> dict[str, Any]:
    act = storage.pauses.hold if pause else storage.pauses.lift
    kind, team, name = place
    if not act(kind, team, name, actor=identity.subject, reason=reason):
        state = "paused already" if pause else "not paused"
        raise ConflictError("nothing_to_do", f"the {kind} is {state}")
    held = {(p.kind, p.team, p.name): p.shown() for p in storage.pauses.all()}
    return {"kind": kind, "team": team, "name": name or team, "paused": held.get(place)}


def with_pauses(
    storage: Storage, kind: PauseKind, rows: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the rows of a list, each with its own `paused`: {at, by, reason} or None."""
    holds = Holds(p for p in storage.pauses.all() if p.kind == kind)
    shown = []
    for row in rows:
        match kind:
            case "pipeline":
                held = holds.pipeline(row["team"], row["pipeline"])
            case "queue":
                held = holds.queue(row["queue"])
            case _:
                held = holds.team(row["name"])
        shown.append({**row, "paused": None if held is None else held.shown()})
    return shown
