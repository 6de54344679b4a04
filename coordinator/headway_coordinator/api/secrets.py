"""Secrets: set, listed and removed. No answer here holds a value."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from headway_coordinator.access.roles import Action, Identity
from headway_coordinator.api.answers import answer
from headway_coordinator.api.bodies import BodyRoute
from headway_coordinator.api.guards import Allow, Parts
from headway_coordinator.api.paging import Cursor, Limit, answer_page, page
from headway_coordinator.api.shapes import NameQuery, Nothing, PutSecret, SecretPart

router = APIRouter(prefix="/api/v1", tags=["secrets"], route_class=BodyRoute)

Reader = Annotated[Identity, Depends(Allow(Action.READ_SECRETS))]
Keeper = Annotated[Identity, Depends(Allow(Action.MANAGE_SECRETS))]
KeyAdmin = Annotated[Identity, Depends(Allow(Action.MANAGE_KEYS))]


@router.get("/secrets")
def secrets(
    parts: Parts,
    identity: Reader,
    team: NameQuery = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List the secrets of the caller's teams: name, version, when and by whom; never a value."""
    rows = parts.secrets.listing(identity, team)
    return answer_page("secrets", page(rows, lambda r: f"{r['team']}/{r['name']}", limit, cursor))


@router.put("/secrets/{name}")
def put_secret(parts: Parts, identity: Keeper, name: SecretPart, body: PutSecret) -> Response:
    """Set a secret; attempts that start from now on are given the new value."""
    return answer(parts.secrets.put(identity, body.team, name, body.value))


@router.delete("/secrets/{name}")
def remove_secret(
    parts: Parts, identity: Keeper, name: SecretPart, team: NameQuery = None
) -> Response:
    """Remove a secret; steps that name it fail from now on."""
    return answer(parts.secrets.remove(identity, team, name))


@router.post("/secrets/rekey")
def rekey(parts: Parts, identity: KeyAdmin, _body: Nothing | None = None) -> Response:
    """Encrypt every secret under the present key; the former ones can then be taken away."""
    return answer(parts.secrets.rekey(identity))
