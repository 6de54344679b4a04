"""Pipelines, queues and teams paused and resumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

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
    return _steered(parts, pausing.steer_pipeline, identity, team, name, pause=True, body=body)


@router.post("/pipelines/{team}/{name}/resume")
def resume_pipeline(
    parts: Parts, identity: Steerer, team: NamePart, name: NamePart, body: Asked | None = None
) -> Response:
    """Let a paused pipeline go on."""
    return _steered(parts, pausing.steer_pipeline, identity, team, name, pause=False, body=body)


@router.post("/queues/{queue}/pause")
def pause_queue(
    parts: Parts, identity: Steerer, queue: QueuePart, body: Asked | None = None
) -> Response:
    """Start no steps of a team's class."""
    return _steered(parts, pausing.steer_queue, identity, queue, pause=True, body=body)


@router.post("/queues/{queue}/resume")
def resume_queue(
    parts: Parts, identity: Steerer, queue: QueuePart, body: Asked | None = None
) -> Response:
    """Let a paused queue go on."""
    return _steered(parts, pausing.steer_queue, identity, queue, pause=False, body=body)


@router.post("/teams/{name}/pause")
def pause_team(
    parts: Parts, identity: Steerer, name: NamePart, body: Asked | None = None
) -> Response:
    """Start no steps of a team."""
    return _steered(parts, pausing.steer_team, identity, name, pause=True, body=body)


@router.post("/teams/{name}/resume")
def resume_team(
    parts: Parts, identity: Steerer, name: NamePart, body: Asked | None = None
) -> Response:
    """Let a paused team go on."""
    return _steered(parts, pausing.steer_team, identity, name, pause=False, body=body)


def _steered(
    parts: Parts,
    steer: Callable[..., Mapping[str, Any]],
    identity: Identity,
    *named: str,
    pause: bool,
    body: Asked | None,
) -> Response:
    """Pause what is named or let it go on; then the leader looks again, as there may be room."""
    why = body.reason if body else None
    result = steer(parts.storage, identity, *named, pause=pause, reason=why)
    if not pause:
        parts.nudge()
    return answer(result)
