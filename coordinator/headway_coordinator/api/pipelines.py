"""Definitions: apply and read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from headway_coordinator.access.roles import Action, Identity
from headway_coordinator.api.answers import answer
from headway_coordinator.api.bodies import BodyRoute
from headway_coordinator.api.guards import Allow, Parts
from headway_coordinator.api.paging import Cursor, Limit, answer_page, page
from headway_coordinator.api.shapes import (
    Apply,
    NamePart,
    Rollback,
    VersionCursor,
    VersionPart,
)
from headway_coordinator.application.intake import SourceFile, apply_definitions
from headway_coordinator.application.pausing import with_pauses
from headway_coordinator.application.versions import (
    current_definition,
    definition_version,
    listed_versions,
    roll_back,
    shown_definition,
)

router = APIRouter(prefix="/api/v1", tags=["pipelines"], route_class=BodyRoute)

Reader = Annotated[Identity, Depends(Allow(Action.READ_DEFINITIONS))]
Author = Annotated[Identity, Depends(Allow(Action.APPLY))]


@router.post("/pipelines")
def apply(parts: Parts, identity: Author, body: Apply) -> Response:
    """Store the definitions as newest versions; all of them, or none if one has a problem."""
    files = [SourceFile(file.name, file.text) for file in body.files]
    applied = apply_definitions(parts.storage, identity, files)
    parts.nudge_triggers()
    return answer({"applied": applied, "warnings": parts.secrets.warnings(applied)})


@router.get("/pipelines")
def pipelines(
    parts: Parts, identity: Reader, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List the pipelines of the caller's teams with their last run."""
    rows = parts.storage.definitions.listing(teams=identity.teams)
    rows = with_pauses(parts.storage, "pipeline", rows)
    return answer_page(
        "pipelines", page(rows, lambda r: f"{r['team']}/{r['pipeline']}", limit, cursor)
    )


@router.get("/pipelines/{team}/{name}")
def pipeline(parts: Parts, identity: Reader, team: NamePart, name: NamePart) -> Response:
    """Show the newest version of a pipeline: its canonical form and its source."""
    return answer(shown_definition(current_definition(parts.storage, identity, team, name)))


@router.get("/pipelines/{team}/{name}/versions")
def versions(
    parts: Parts,
    identity: Reader,
    team: NamePart,
    name: NamePart,
    limit: Limit = 100,
    cursor: VersionCursor = None,
) -> Response:
    """List the versions of a pipeline, newest first."""
    shown = listed_versions(parts.storage, identity, team, name, limit, cursor)
    return answer_page("versions", shown)


@router.get("/pipelines/{team}/{name}/versions/{version}")
def version(
    parts: Parts, identity: Reader, team: NamePart, name: NamePart, version: VersionPart
) -> Response:
    """Show one version of a pipeline: its canonical form and its source."""
    return answer(
        shown_definition(definition_version(parts.storage, identity, team, name, version))
    )


@router.post("/pipelines/{team}/{name}/rollback")
def rollback(
    parts: Parts, identity: Author, team: NamePart, name: NamePart, body: Rollback
) -> Response:
    """Make an earlier version the newest one again, under a new number."""
    restored = roll_back(parts.storage, identity, team, name, body.version)
    parts.nudge_triggers()
    return answer(restored)
