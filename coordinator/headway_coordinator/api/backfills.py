"""Backfills: looked at before they are started, started, shown, paused, cancelled, retried."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from headway_coordinator.access.roles import Action, Identity
from headway_coordinator.api.answers import answer
from headway_coordinator.api.bodies import BodyRoute
from headway_coordinator.api.guards import Allow, Parts
from headway_coordinator.api.paging import Cursor, Limit, Page, answer_of_teams
from headway_coordinator.api.shapes import (
    CancelBackfill,
    ChangeBackfill,
    Key,
    NameQuery,
    Nothing,
    RunId,
    StartBackfill,
)
from headway_coordinator.application import backfills as cases
from headway_coordinator.application.backfill_planning import BackfillRequest, plan_backfill
from headway_coordinator.application.backfill_ports import BackfillFilter

router = APIRouter(prefix="/api/v1", tags=["backfills"], route_class=BodyRoute)

Reader = Annotated[Identity, Depends(Allow(Action.READ_RUNS))]
Starter = Annotated[Identity, Depends(Allow(Action.START_RUN))]
Canceller = Annotated[Identity, Depends(Allow(Action.CANCEL_RUN))]
Retrier = Annotated[Identity, Depends(Allow(Action.RETRY_RUN))]
State = Annotated[str | None, Query(pattern=r"^(cancelled|done|paused|running)$")]


@router.post("/backfills", status_code=202)
def start(parts: Parts, identity: Starter, body: StartBackfill, key: Key = None) -> Response:
    """Start a backfill, or with `dry_run` only say what it would run. The same Idempotency-Key
    with the same request is the same backfill."""
    given = body.model_dump(exclude={"dry_run"})
    wanted = BackfillRequest(**given, key=key)
    if body.dry_run:
        plan = plan_backfill(parts.storage, parts.clock, identity, wanted)
        return answer(cases.preview(plan))
    shown, created = cases.start_backfill(parts.storage, parts.clock, identity, wanted)
    if created:
        parts.nudge_triggers()
    return answer(shown, 202)


@router.get("/backfills")
def backfills(
    parts: Parts,
    identity: Reader,
    pipeline: NameQuery = None,
    team: NameQuery = None,
    state: State = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List backfills with their progress, newest first."""

    def read(teams: list[str] | None) -> Page:
        wanted = BackfillFilter(teams, limit, cursor, pipeline, state)
        return cases.listed_backfills(parts.storage, wanted)

    return answer_of_teams("backfills", identity, team, read)


@router.get("/backfills/{id}")
def backfill(
    parts: Parts, identity: Reader, id: RunId, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """Show a backfill, its progress and a page of its dates, in its order."""
    return answer(cases.shown_backfill(parts.storage, identity, id, limit=limit, cursor=cursor))


@router.patch("/backfills/{id}")
def change(parts: Parts, identity: Starter, id: RunId, body: ChangeBackfill) -> Response:
    """Change how many of its runs may be under way; those that are go on."""
    result = cases.change_backfill(parts.storage, identity, id, max_in_flight=body.max_in_flight)
    parts.nudge_triggers()
    return answer(result)


@router.post("/backfills/{id}/pause")
def pause(parts: Parts, identity: Starter, id: RunId, _body: Nothing | None = None) -> Response:
    """Let it start no more runs; those under way go on."""
    return answer(cases.pause_backfill(parts.storage, identity, id))


@router.post("/backfills/{id}/resume")
def resume(parts: Parts, identity: Starter, id: RunId, _body: Nothing | None = None) -> Response:
    """Let a paused backfill go on."""
    result = cases.resume_backfill(parts.storage, identity, id)
    parts.nudge_triggers()
    return answer(result)


@router.post("/backfills/{id}/cancel")
def cancel(
    parts: Parts, identity: Canceller, id: RunId, body: CancelBackfill | None = None
) -> Response:
    """Let it start no more runs, and ask those under way to stop unless `keep_running` is true."""
    said = body or CancelBackfill()
    result = cases.cancel_backfill(
        parts.storage, identity, id, reason=said.reason, keep_running=said.keep_running
    )
    parts.nudge()
    return answer(result)


@router.post("/backfills/{id}/retry")
def retry(parts: Parts, identity: Retrier, id: RunId, _body: Nothing | None = None) -> Response:
    """Make new runs for the dates whose run did not succeed."""
    result = cases.retry_backfill(parts.storage, identity, id)
    parts.nudge_triggers()
    return answer(result)
