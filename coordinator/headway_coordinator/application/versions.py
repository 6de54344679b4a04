"""The versions of a pipeline: list, show, and make an earlier one the newest again.

A version never changes and a run keeps the digest that it was started with, so that a rollback
moves only what starts after it.
"""

from __future__ import annotations

from typing import Any

from headway.errors import ForbiddenError
from headway_coordinator.access.roles import Identity
from headway_coordinator.application.ports import Storage, StoredDefinition


def current_definition(
    storage: Storage, identity: Identity, team: str, name: str
) -> StoredDefinition:
    """Return the newest version. Raises ForbiddenError (404): not there, or another team's."""
    found = storage.definitions.current(name, team) if identity.covers(team) else []
    if not found:
        raise _no_pipeline(team, name)
    return found[0]


def definition_version(
    storage: Storage, identity: Identity, team: str, name: str, version: int
) -> StoredDefinition:
    """Return one version. Raises ForbiddenError (404): not there, or another team's."""
    newest = current_definition(storage, identity, team, name)
    found = storage.definitions.version(team, name, version)
    if found is None:
        message = f"{team}/{name} has no version {version}"
        hint = f"It has 1 to {newest.version}."
        raise ForbiddenError("not_found", message, hint, status=404)
    return found


def listed_versions(
    storage: Storage, identity: Identity, team: str, name: str, limit: int, before: int | None
) -> tuple[list[dict[str, Any]], int | None]:
    """Return versions newest first, and the cursor of the rest. Raises ForbiddenError (404)."""
    newest = current_definition(storage, identity, team, name).version
    rows = storage.definitions.versions(team, name, limit=limit + 1, before=before)
    shown = [{**row, "current": row["version"] == newest} for row in rows[:limit]]
    return shown, rows[limit - 1]["version"] if len(rows) > limit else None


def roll_back(
    storage: Storage, identity: Identity, team: str, name: str, version: int
) -> dict[str, Any]:
    """Store an earlier version as the newest one, with its digest and source, and audit who did.

    Returns {pipeline, team, digest, version, changed, restored, previous}; to roll back to
    `previous` undoes it. Unchanged when that definition is the newest already.

    Raises:
        ForbiddenError: (404) no such pipeline or version within the identity's scope.
    """
    previous = current_definition(storage, identity, team, name).version
    stored = definition_version(storage, identity, team, name, version)
    number, changed = storage.definitions.put(
        canonical=stored.canonical,
        digest=stored.digest,
        source=stored.source,
        actor=identity.subject,
        reason=f"rollback to version {version}",
    )
    return {
        "pipeline": name,
        "team": team,
        "digest": stored.digest,
        "version": number,
        "changed": changed,
        "restored": version,
        "previous": number - 1 if changed else previous,
    }


def shown_definition(stored: StoredDefinition) -> dict[str, Any]:
    """Return a version as the API shows it, with its canonical form and its source."""
    return {
        "pipeline": stored.pipeline,
        "team": stored.team,
        "digest": stored.digest,
        "version": stored.version,
        "created_at": stored.created_at,
        "actor": stored.actor,
        "definition": stored.canonical,
        "source": stored.source,
    }


def _no_pipeline(team: str, name: str) -> ForbiddenError:
    message = f"there is no pipeline {team}/{name}, or your teams may not see it"
    return ForbiddenError("not_found", message, "headway pipelines list", status=404)
