"""Pipelines, queues and teams paused and resumed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from starlette.responses import Response

from headway_coordinator.access.roles import Action, Identity
from headway_coordinator.api.answers import answer
from headway_coordinator.api.bodies import BodyRoute
from headway_coordinator.api.guards import Allow, Parts
from headway_coordinator.api.shapes import Asked, NamePart
from headway_coordinator.application import pausing

router = APIRouter(prefix="/api/v1", tags=["installation"], route_class=BodyRoute)

Steerer = Annotated[Identity, Depends(Allow(Action.STEER_ADMISSION))]
QueuePart = Annotated[str, Path(min_length=3, max_length=100)]


@router.post("/pipelines/{team}/{name}/pause")
def pause_pipeline(
    parts: Parts, identity: Steerer, team: NamePart, name: NamePart, body: Asked | None = None
) -> Response:
    """Start no steps of a pipeline's runs. New runs are accepted, and wait."""
    why = body.reason if body else None
    return answer(
        pausing.steer_pipeline(parts.storage, identity, team, name, pause=True, reason=why)
    )


@router.post("/pipelines/{team}/{name}/resume")
def resume_pipeline(
    parts: Parts, identity: Steerer, team: NamePart, name: NamePart, body: Asked | None = None
) -> Response:
    """Let a paused pipeline go on."""
    why = body.reason if body else None
    result = pausing.steer_pipeline(parts.storage, identity, team, name, pause=False, reason=why)
    parts.nudge()
    return answer(result)


@router.post("/queues/{queue}/pause")
def pause_queue(
    parts: Parts, identity: Steerer, queue: QueuePart, body: Asked | None = None
) -> Response:
    """Start no steps of a team's class."""
    why = body.reason if body else None
    return answer(pausing.steer_queue(parts.storage, identity, queue, pause=True, reason=why))


@router.post("/queues/{queue}/resume")
def resume_queue(
    parts: Parts, identity: Steerer, queue: QueuePart, body: Asked | None = None
) -> Response:
    """Let a paused queue go on."""
    why = body.reason if body else None
    result = pausing.steer_queue(parts.storage, identity, queue, pause=False, reason=why)
    parts.nudge()
    return answer(result)


@router.post("/teams/{name}/pause")
def pause_team(
    parts: Parts, identity: Steerer, name: NamePart, body: Asked | None = None
) -> Response:
    """Start no steps of a team."""
    why = body.reason if body else None
    return answer(pausing.steer_team(parts.storage, identity, name, pause=True, reason=why))


@router.post("/teams/{name}/resume")
def resume_team(
    parts: Parts, identity: Steerer, name: NamePart, body: Asked | None = None
) -> Response:
    """Let a paused team go on."""
    why = body.reason if body else None
    result = pausing.steer_team(parts.storage, identity, name, pause=False, reason=why)
    parts.nudge()
    return answer(result)
