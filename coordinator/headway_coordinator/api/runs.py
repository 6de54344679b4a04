"""Runs: start, look, follow, cancel, retry."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response, StreamingResponse

from headway.errors import DefinitionError
from headway_coordinator.access.roles import Action, Identity
from headway_coordinator.api.answers import answer
from headway_coordinator.api.bodies import BodyRoute
from headway_coordinator.api.downloads import attachment, log_response
from headway_coordinator.api.guards import Allow, Parts
from headway_coordinator.api.live import run_events
from headway_coordinator.api.paging import Cursor, Limit, Page, answer_of_teams
from headway_coordinator.api.shapes import (
    Asked,
    CancelRun,
    ChildrenQuery,
    Key,
    MomentQuery,
    NameQuery,
    PathQuery,
    RunId,
    StartRun,
    StepPart,
    StepQuery,
)
from headway_coordinator.application import intake, reading
from headway_coordinator.application.ports import RunFilter
from headway_coordinator.application.services import Services
from headway_coordinator.engine.states import RunStatus

router = APIRouter(prefix="/api/v1", tags=["runs"], route_class=BodyRoute)

Reader = Annotated[Identity, Depends(Allow(Action.READ_RUNS))]
LogReader = Annotated[Identity, Depends(Allow(Action.READ_LOGS))]
FileReader = Annotated[Identity, Depends(Allow(Action.READ_ARTIFACTS))]
Starter = Annotated[Identity, Depends(Allow(Action.START_RUN))]
Canceller = Annotated[Identity, Depends(Allow(Action.CANCEL_RUN))]
Retrier = Annotated[Identity, Depends(Allow(Action.RETRY_RUN))]

States = Annotated[list[str] | None, Query(alias="state", max_length=20)]
AttemptNo = Annotated[int | None, Query(ge=1, le=1_000_000)]
Offset = Annotated[int, Query(ge=0, le=2**53)]


@router.post("/runs", status_code=202)
def start(parts: Parts, identity: Starter, body: StartRun, key: Key = None) -> Response:
    """Accept a run. The same Idempotency-Key with the same request returns the same run."""
    return answer(started(parts, identity, body, key), 202)


def started(parts: Services, identity: Identity, body: StartRun, key: str | None) -> dict[str, Any]:
    """Record the run and wake the leader; return what the caller is told."""
    wanted = intake.RunRequest(body.pipeline, body.team, body.params, key, body.logical_date)
    run = intake.accept_run(parts.storage, parts.clock, identity, wanted)
    parts.nudge()
    return {"id": run.id, "pipeline": run.pipeline, "state": run.state, "created": run.created}


@router.get("/runs")
def runs(
    parts: Parts,
    identity: Reader,
    pipeline: NameQuery = None,
    team: NameQuery = None,
    states: States = None,
    since: MomentQuery = None,
    until: MomentQuery = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List runs, newest first; `state` may be repeated or hold several, separated by commas.

    `since` and `until` are of their creation: at or after the one, before the other.
    """

    def read(teams: list[str] | None) -> Page:
        wanted = RunFilter(teams, pipeline, _states(states), limit, cursor, since, until)
        return parts.storage.queries.runs(wanted)

    return answer_of_teams("runs", identity, team, read)


def _states(given: list[str] | None) -> tuple[str, ...]:
    states = tuple(s for text in given or () for s in text.split(",") if s)
    for state in states:
        if state not in set(RunStatus):
            message = f"`{state}` is no state of a run"
            raise DefinitionError(message, code="bad_state", hint=", ".join(RunStatus))
    return states


@router.get("/runs/{id}")
def run(parts: Parts, identity: Reader, id: RunId) -> Response:
    """Show a run: its parameters, times, steps and attempts."""
    return answer(reading.visible_run(parts.storage, identity, id))


@router.get("/runs/{id}/steps")
def steps(parts: Parts, identity: Reader, id: RunId, children: ChildrenQuery = "some") -> Response:
    """List the run's steps in the plan's order; `children=all` with every child of each."""
    every = children == "all"
    row = reading.visible_run(parts.storage, identity, id, all_children=every)
    return answer({"steps": row["steps"]})


@router.get("/runs/{id}/explain")
def explain(parts: Parts, identity: Reader, id: RunId) -> Response:
    """Say of each step that does not run what it waits for."""
    reading.visible_run(parts.storage, identity, id)
    return answer(reading.explained(parts, id))


@router.get("/runs/{id}/logs")
def logs(
    parts: Parts,
    identity: LogReader,
    id: RunId,
    step: StepQuery = None,
    attempt: AttemptNo = None,
    offset: Offset = 0,
) -> Response:
    """Return a step's log from a byte on, or all newest logs, each line behind its step's name."""
    row = reading.visible_run(parts.storage, identity, id, step=step, all_children=step is None)
    if step is None:
        if attempt is not None or offset:
            message = "`attempt` and `offset` belong to one step's log"
            raise DefinitionError(message, code="invalid_request", hint="Name the step.")
        body = reading.whole_log(parts.store, row)
        return StreamingResponse(body, media_type="text/plain; charset=utf-8")
    return log_response(parts.store, row, step, attempt, offset)


@router.get("/runs/{id}/events")
async def events(parts: Parts, identity: Reader, id: RunId, request: Request) -> Response:
    """Follow the run's changes as server-sent events, until it has ended."""
    return await run_events(parts, identity, id, request)


@router.get("/runs/{id}/artifacts")
def artifacts(parts: Parts, identity: FileReader, id: RunId) -> Response:
    """List the files that the run's steps left."""
    row = reading.visible_run(parts.storage, identity, id, all_children=True)
    return answer({"artifacts": reading.artifacts_of(row)})


@router.get("/artifacts/{id}/{step}")
def artifact(
    parts: Parts, identity: FileReader, id: RunId, step: StepPart, path: PathQuery
) -> Response:
    """Download a file that a step left."""
    row = reading.visible_run(parts.storage, identity, id, step=step)
    return attachment(parts.store, row, reading.artifact(row, step, path))


@router.post("/runs/{id}/cancel", status_code=202)
def cancel(
    parts: Parts, identity: Canceller, id: RunId, body: CancelRun | None = None, key: Key = None
) -> Response:
    """Ask for the run to stop: what runs gets a SIGTERM, and SIGKILL when its grace is over."""
    how = body or CancelRun()
    entry = intake.cancel_run(
        parts.storage,
        parts.clock,
        identity,
        id,
        reason=how.reason,
        force=how.force,
        grace_s=how.grace,
        key=key,
    )
    parts.nudge()
    return answer({"id": id, "inbox": entry.id}, 202)


@router.post("/runs/{id}/retry", status_code=202)
def retry(
    parts: Parts, identity: Retrier, id: RunId, body: Asked | None = None, key: Key = None
) -> Response:
    """Go on with an ended run from what did not succeed."""
    reason = body.reason if body else None
    entry = intake.retry_run(parts.storage, parts.clock, identity, id, reason=reason, key=key)
    parts.nudge()
    return answer({"id": id, "inbox": entry.id}, 202)
