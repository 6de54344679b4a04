"""A run done again as a new one, which names the old one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headway.clock import Clock
from headway.errors import ConflictError
from headway_coordinator.access.roles import Identity
from headway_coordinator.application.intake import (
    INTERVAL,
    AcceptedRun,
    RunRequest,
    accept_run,
    wanted_definition,
)
from headway_coordinator.application.ports import Storage, StoredDefinition
from headway_coordinator.application.reading import visible_run


@dataclass(frozen=True, slots=True)
class Rerun:
    """What is to be otherwise: `params` replace the old ones by name, `latest` the definition."""

    params: Mapping[str, Any]
    latest: bool = False
    reason: str | None = None
    key: str | None = None


def rerun(
    storage: Storage, clock: Clock, identity: Identity, run: str, wanted: Rerun
) -> AcceptedRun:
    """Record a new run with the old one's definition, params and logical date.

    Raises:
        ForbiddenError: there is no such run within the identity's scope (404).
        DefinitionError: the params do not fit the definition.
        ConflictError: the old definition is gone, or the key was used for another request.
    """
    row = visible_run(storage, identity, run)
    definition = _definition(storage, identity, row, latest=wanted.latest)
    declared = definition.canonical["params"]
    # The latest definition may know some params no more; those that are given now must fit.
    kept = {name: value for name, value in row["params"].items() if name in declared}
    before = row["origin"] or {}
    origin = {name: before[name] for name in (*INTERVAL, "depth") if name in before}
    origin["rerun_of"] = run
    if wanted.reason:
        origin["reason"] = wanted.reason
    which = "latest" if wanted.latest else "same"
    request = RunRequest(
        row["pipeline"],
        row["team"],
        {**kept, **wanted.params},
        key=f"rerun:{run}:{which}:{wanted.key}" if wanted.key else None,
        logical_date=_moment(row["logical_date"]),
        origin=origin,
    )
    return accept_run(storage, clock, identity, request, definition)


def _definition(
    storage: Storage, identity: Identity, row: Mapping[str, Any], *, latest: bool
) -> StoredDefinition:
    if latest:
        return wanted_definition(storage, identity, row["pipeline"], row["team"])
    definition = storage.definitions.get(row["digest"])
    if definition is None:
        raise ConflictError("not_now", "the run's definition is gone", "Say --latest.")
    return definition


def _moment(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
