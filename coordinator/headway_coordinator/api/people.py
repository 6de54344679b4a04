"""Teams, tokens and tickets."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends
from starlette.responses import Response

from headway.errors import DefinitionError, ForbiddenError
from headway.spec.names import RESERVED_TEAM
from headway_coordinator.access.roles import PLATFORM_ADMIN_HINT, Action, Identity
from headway_coordinator.api.answers import answer
from headway_coordinator.api.bodies import BodyRoute
from headway_coordinator.api.guards import Allow, Parts
from headway_coordinator.api.paging import Cursor, Limit, answer_page, page
from headway_coordinator.api.shapes import AddTeam, AddToken, Nothing, RunId
from headway_coordinator.application.access_ports import Token
from headway_coordinator.application.identity import create_token, revoke_token
from headway_coordinator.application.pausing import with_pauses

router = APIRouter(prefix="/api/v1", tags=["access"], route_class=BodyRoute)

Reader = Annotated[Identity, Depends(Allow(Action.READ_TEAMS))]
TeamAdmin = Annotated[Identity, Depends(Allow(Action.MANAGE_TEAMS))]
TokenAdmin = Annotated[Identity, Depends(Allow(Action.MANAGE_TOKENS))]
Visitor = Annotated[Identity, Depends(Allow(Action.MAKE_TICKET))]


@router.get("/teams")
def teams(parts: Parts, identity: Reader, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """List the teams that the caller may see."""
    rows = [row for row in parts.storage.access.teams() if identity.covers(row["name"])]
    rows = with_pauses(parts.storage, "team", rows)
    return answer_page("teams", page(rows, lambda r: str(r["name"]), limit, cursor))


@router.post("/teams")
def add_team(parts: Parts, identity: TeamAdmin, body: AddTeam) -> Response:
    """Add a team; adding it twice changes nothing."""
    if identity.team is not None:
        message = "only an administrator of the whole installation adds teams"
        raise ForbiddenError("forbidden", message, PLATFORM_ADMIN_HINT)
    if body.name == RESERVED_TEAM:
        message = f"no team can be called `{RESERVED_TEAM}`"
        raise DefinitionError(message, code="reserved_name")
    created = parts.storage.access.add_team(body.name, identity.subject)
    return answer({"name": body.name, "created": created}, 201 if created else 200)


@router.get("/tokens")
def tokens(
    parts: Parts, identity: TokenAdmin, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List tokens: whose, what for and when last used; never the token itself."""
    shown, following = page(
        parts.storage.access.tokens(identity.team), lambda token: token.id, limit, cursor
    )
    return answer_page("tokens", ([_row(token) for token in shown], following))


@router.post("/tokens", status_code=201)
def add_token(parts: Parts, identity: TokenAdmin, body: AddToken) -> Response:
    """Make a token. Its text is in this answer and nowhere else."""
    life = None if body.expires_in is None else timedelta(seconds=float(body.expires_in))
    text, token = create_token(
        parts.storage.access,
        identity,
        parts.clock,
        subject=body.subject,
        team=body.team,
        role=body.role,
        life=life,
    )
    return answer({"token": text, **_row(token)}, 201)


@router.delete("/tokens/{id}")
def drop_token(parts: Parts, identity: TokenAdmin, id: RunId) -> Response:
    """Revoke a token; it stops working everywhere within 5 seconds."""
    token = revoke_token(parts.storage.access, identity, id)
    parts.identities.forget()
    return answer({"id": token.id, "subject": token.subject, "revoked": True})


@router.post("/tickets", status_code=201)
def add_ticket(parts: Parts, identity: Visitor, _body: Nothing | None = None) -> Response:
    """Make a link, good for an hour, that signs a browser in as the caller."""
    ticket, ends = parts.identities.ticket(identity)
    path = f"/sign-in?ticket={quote(ticket)}"
    return answer({"ticket": ticket, "path": path, "expires_at": ends}, 201)


def _row(token: Token) -> dict[str, Any]:
    return asdict(token)
