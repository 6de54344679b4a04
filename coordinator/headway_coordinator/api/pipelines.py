"""Definitions: apply and read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from headway.errors import ForbiddenError
from headway_coordinator.access.roles import Action, Identity
from headway_coordinator.api.answers import answer
from headway_coordinator.api.guards import Allow, Parts
from headway_coordinator.api.paging import Cursor, Limit, page
from headway_coordinator.api.shapes import Apply, NamePart
from headway_coordinator.application.intake import SourceFile, apply_definitions

router = APIRouter(prefix="/api/v1", tags=["pipelines"])

Reader = Annotated[Identity, Depends(Allow(Action.READ_DEFINITIONS))]
Author = Annotated[Identity, Depends(Allow(Action.APPLY))]


@router.post("/pipelines")
def apply(parts: Parts, identity: Author, body: Apply) -> Response:
    """Store the definitions as newest versions; all of them, or none if one has a problem."""
    files = [SourceFile(file.name, file.text) for file in body.files]
    applied = apply_definitions(parts.storage, identity, files)
    return answer({"applied": applied, "warnings": parts.secrets.warnings(applied)})


@router.get("/pipelines")
def pipelines(
    parts: Parts, identity: Reader, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List the pipelines of the caller's teams with their last run."""
    rows = parts.storage.definitions.listing(teams=identity.teams)
    shown, following = page(rows, lambda r: f"{r['team']}/{r['pipeline']}", limit, cursor)
    return answer({"pipelines": shown, "next": following})


@router.get("/pipelines/{team}/{name}")
def pipeline(parts: Parts, identity: Reader, team: NamePart, name: NamePart) -> Response:
    """Show the newest version of a pipeline: its canonical form and its source."""
    found = parts.storage.definitions.current(name, team) if identity.covers(team) else []
    if not found:
        message = f"there is no pipeline {team}/{name}, or your teams may not see it"
        raise ForbiddenError("not_found", message, "headway pipelines list", status=404)
    stored = found[0]
    row = {
        "pipeline": stored.pipeline,
        "team": stored.team,
        "digest": stored.digest,
        "version": stored.version,
        "created_at": stored.created_at,
        "actor": stored.actor,
        "definition": stored.canonical,
        "source": stored.source,
    }
    return answer(row)
