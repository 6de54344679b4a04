"""Events: taken in from webhooks and as CloudEvents, shown with their decisions, replayed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from headway_coordinator.access.roles import Action, Identity
from headway_coordinator.api.answers import answer
from headway_coordinator.api.bodies import BodyRoute
from headway_coordinator.api.guards import Allow, Parts
from headway_coordinator.api.paging import Cursor, Limit, Page, answer_of_teams, answer_page
from headway_coordinator.api.problems import response_of
from headway_coordinator.api.shapes import Key, NamePart, NameQuery, Nothing, RunId
from headway_coordinator.application.receiving import HookRefusedError, Received
from headway_coordinator.application.trigger_ports import EventFilter
from headway_coordinator.application.triggering import listed_triggers, pause_trigger
from headway_coordinator.triggers.hooks import HookRequest

router = APIRouter(prefix="/api/v1", tags=["events"], route_class=BodyRoute)

Reader = Annotated[Identity, Depends(Allow(Action.READ_EVENTS))]
Sender = Annotated[Identity, Depends(Allow(Action.SEND_EVENTS))]
Steerer = Annotated[Identity, Depends(Allow(Action.STEER_TRIGGERS))]
Source = Annotated[str, Path(pattern=r"^[a-z0-9-]{1,40}$")]
Attribute = Annotated[str | None, Query(min_length=1, max_length=2048, pattern=r"^[^\x00]*$")]
Outcome = Annotated[str | None, Query(pattern=r"^(duplicate|filtered|matched|refused|waiting)$")]


@router.post("/hooks/{source}/{name}", status_code=202)
async def hook(parts: Parts, source: Source, name: NamePart, request: Request) -> Response:
    """Take in a webhook; its own signature or token is the proof. A repeated delivery is 200."""
    given = HookRequest(dict(request.headers), await request.body(), dict(request.query_params))
    try:
        kept = await run_in_threadpool(parts.receiver.hook, source, name, given)
    except HookRefusedError as error:
        response = response_of(error)
        if error.challenge is not None:
            response.headers["WWW-Authenticate"] = error.challenge
        return response
    return _accepted(parts, kept)


@router.post("/events", status_code=202)
async def send(
    parts: Parts, identity: Sender, request: Request, team: NameQuery = None
) -> Response:
    """Take in CloudEvents: structured, binary or batched. One that is there already is 200."""
    events = parts.cloudevents(dict(request.headers), await request.body())
    return _accepted(parts, await run_in_threadpool(parts.receiver.events, identity, team, events))


def _accepted(parts: Parts, kept: Sequence[Received]) -> Response:
    created = any(one.created for one in kept)
    if created:
        parts.nudge_triggers()
    rows = [{"id": one.id, "type": one.type, "created": one.created} for one in kept]
    return answer({"events": rows}, 202 if created else 200)


@router.get("/events")
def events(
    parts: Parts,
    identity: Reader,
    team: NameQuery = None,
    pipeline: NameQuery = None,
    outcome: Outcome = None,
    type: Attribute = None,
    source: Attribute = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List events, newest first, with the decision of each trigger."""

    def read(teams: list[str] | None) -> Page:
        # What other teams' triggers made of an event is theirs to see.
        deciders = identity.teams
        wanted = EventFilter(teams, limit, cursor, source, type, outcome, pipeline, deciders)
        return parts.storage.events.listing(wanted)

    return answer_of_teams("events", identity, team, read)


@router.get("/events/{id}")
def event(parts: Parts, identity: Reader, id: RunId) -> Response:
    """Show an event as it was kept, and what each trigger made of it."""
    return answer(parts.receiver.shown(identity, id))


@router.post("/events/{id}/replay", status_code=202)
def replay(
    parts: Parts, identity: Sender, id: RunId, _body: Nothing | None = None, key: Key = None
) -> Response:
    """Let every trigger decide on the event anew."""
    kept = parts.receiver.replay(identity, id, key)
    parts.nudge_triggers()
    return answer({"id": kept.id, "replay_of": id, "created": kept.created}, 202)


@router.get("/triggers")
def triggers(
    parts: Parts, identity: Reader, team: NameQuery = None, pipeline: NameQuery = None
) -> Response:
    """List the triggers, with the next times of schedules and the addresses of webhooks."""
    rows = listed_triggers(parts.storage, parts.secrets, identity, team, pipeline)
    return answer_page("triggers", (rows, None))


@router.post("/pipelines/{team}/{name}/triggers/{trigger}/pause")
def pause(
    parts: Parts,
    identity: Steerer,
    team: NamePart,
    name: NamePart,
    trigger: NamePart,
    _body: Nothing | None = None,
) -> Response:
    """Pause a trigger: what it hears from now on starts no run."""
    return answer(pause_trigger(parts.storage, identity, team, name, trigger, paused=True))


@router.post("/pipelines/{team}/{name}/triggers/{trigger}/resume")
def resume(
    parts: Parts,
    identity: Steerer,
    team: NamePart,
    name: NamePart,
    trigger: NamePart,
    _body: Nothing | None = None,
) -> Response:
    """Let a paused trigger go on."""
    result = pause_trigger(parts.storage, identity, team, name, trigger, paused=False)
    parts.nudge_triggers()
    return answer(result)
