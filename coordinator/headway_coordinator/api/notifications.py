"""Routes of notifications: what was sent of runs' ends, and what could not be."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from headway_coordinator.access.roles import Action, Identity
from headway_coordinator.api.answers import answer
from headway_coordinator.api.bodies import BodyRoute
from headway_coordinator.api.guards import Allow, Parts
from headway_coordinator.api.paging import Cursor, Limit, Page, answer_of_teams
from headway_coordinator.api.shapes import NameQuery, Nothing, RunId
from headway_coordinator.application import notified
from headway_coordinator.application.notify_ports import NotificationFilter

router = APIRouter(prefix="/api/v1", tags=["notifications"], route_class=BodyRoute)

Reader = Annotated[Identity, Depends(Allow(Action.READ_EVENTS))]
Sender = Annotated[Identity, Depends(Allow(Action.SEND_EVENTS))]
State = Annotated[str | None, Query(pattern=r"^(dead|sent|waiting)$")]


@router.get("/notifications")
def notifications(
    parts: Parts,
    identity: Reader,
    team: NameQuery = None,
    pipeline: NameQuery = None,
    state: State = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List notifications, newest first; never a secret, nor more of a URL than its host."""

    def read(teams: list[str] | None) -> Page:
        wanted = NotificationFilter(teams, limit, cursor, pipeline, state)
        return notified.listed(parts.storage.notifications, wanted)

    return answer_of_teams("notifications", identity, team, read)


@router.get("/notifications/{id}")
def notification(parts: Parts, identity: Reader, id: RunId) -> Response:
    """Show a notification, with what is sent."""
    return answer(notified.shown(parts.storage.notifications, identity, id))


@router.post("/notifications/{id}/retry", status_code=202)
def retry(parts: Parts, identity: Sender, id: RunId, _body: Nothing | None = None) -> Response:
    """Send a notification again, now and with all its tries."""
    shown = notified.retried(parts.storage.notifications, identity, id)
    parts.nudge_notifications()
    return answer(shown, 202)
