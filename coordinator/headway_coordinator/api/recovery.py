"""Runs that went wrong: their steps cleared or marked; runs paused and resumed."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from headway_coordinator.access.roles import Action, Identity
from headway_coordinator.api.answers import answer
from headway_coordinator.api.bodies import BodyRoute
from headway_coordinator.api.guards import Allow, Parts
from headway_coordinator.api.shapes import (
    Asked,
    BulkRuns,
    ClearSteps,
    Key,
    MarkSteps,
    RerunRun,
    RunId,
)
from headway_coordinator.application import recovering
from headway_coordinator.application.bulk import Order, ask_all
from headway_coordinator.application.recovering import Verb, Wish
from headway_coordinator.application.rerunning import Rerun, rerun
from headway_coordinator.application.services import Services

router = APIRouter(prefix="/api/v1", tags=["runs"], route_class=BodyRoute)

Reader = Annotated[Identity, Depends(Allow(Action.READ_RUNS))]  # each wish demands its own besides
Starter = Annotated[Identity, Depends(Allow(Action.START_RUN))]
Recoverer = Annotated[Identity, Depends(Allow(Action.RECOVER_RUN))]


@router.post("/runs/{id}/clear", status_code=202)
def clear(
    parts: Parts, identity: Recoverer, id: RunId, body: ClearSteps, key: Key = None
) -> Response:
    """Do steps again, and all that follows them. With `dry_run`: say which they are (200)."""
    steps = recovering.clearing(parts.storage, identity, id, body.steps, only=body.only)
    if body.dry_run:
        return answer({"id": id, "inbox": None, "clear": steps})
    wanted = {"steps": body.steps, "only": body.only, "force": body.force, "reason": body.reason}
    asked = _asked(parts, identity, id, Wish("clear", wanted), key)
    return answer({**asked, "clear": steps}, 202)


@router.post("/runs/{id}/mark", status_code=202)
def mark(
    parts: Parts, identity: Recoverer, id: RunId, body: MarkSteps, key: Key = None
) -> Response:
    """Give steps a state by hand."""
    wish = Wish("mark", body.model_dump())
    return answer(_asked(parts, identity, id, wish, key), 202)


@router.post("/runs/{id}/rerun", status_code=202)
def again(
    parts: Parts, identity: Starter, id: RunId, body: RerunRun | None = None, key: Key = None
) -> Response:
    """Start a new run with the params and the definition of this one, or with others."""
    given = body or RerunRun()
    wanted = Rerun(given.params, given.latest, given.reason, key)
    run = rerun(parts.storage, parts.clock, identity, id, wanted)
    parts.nudge()
    told = {"id": run.id, "pipeline": run.pipeline, "state": run.state, "created": run.created}
    return answer({**told, "rerun_of": id}, 202)


@router.post("/runs/bulk", status_code=202)
def bulk(parts: Parts, identity: Reader, body: BulkRuns, key: Key = None) -> Response:
    """Ask the same of many runs; those that refuse are told, and hold up no other."""
    fields: dict[str, dict[str, Any]] = {
        "cancel": {"force": body.force, "grace_s": body.grace},
        "clear": {"steps": body.steps, "only": body.only, "force": body.force},
        "mark": {"steps": body.steps, "state": body.state, "force": body.force},
        "rerun": {"latest": body.latest},
    }
    order = Order(body.action, body.reason, fields.get(body.action, {}), key)
    return answer({"action": body.action, **ask_all(parts, identity, body.ids, order)}, 202)


@router.post("/runs/{id}/pause", status_code=202)
def pause(
    parts: Parts, identity: Recoverer, id: RunId, body: Asked | None = None, key: Key = None
) -> Response:
    """Start nothing new of the run; what runs goes on, and so does the run's own deadline."""
    return _steered(parts, identity, id, "pause", body, key)


@router.post("/runs/{id}/resume", status_code=202)
def resume(
    parts: Parts, identity: Recoverer, id: RunId, body: Asked | None = None, key: Key = None
) -> Response:
    """Let a paused run go on."""
    return _steered(parts, identity, id, "resume", body, key)


def _steered(
    parts: Services, identity: Identity, id: str, verb: Verb, body: Asked | None, key: str | None
) -> Response:
    wish = Wish(verb, {"reason": body.reason if body else None})
    return answer(_asked(parts, identity, id, wish, key), 202)


def _asked(
    parts: Services, identity: Identity, id: str, wish: Wish, key: str | None
) -> dict[str, Any]:
    entry = recovering.ask(parts.storage, parts.clock, identity, id, wish, key=key)
    parts.nudge()
    return {"id": id, "inbox": entry.id}
