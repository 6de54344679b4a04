"""A run's changes as server-sent events, read from the audit trail.

Each event's id is its audit row's, so that a client that reconnects with Last-Event-ID misses
nothing and hears nothing twice. The caller's right is checked again at every poll.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from headway.errors import HeadwayError, UnavailableError
from headway_coordinator.access.roles import Identity
from headway_coordinator.api.answers import json_bytes
from headway_coordinator.application.ports import Storage
from headway_coordinator.application.reading import visible_run
from headway_coordinator.application.services import Services
from headway_coordinator.engine.states import RUN_TERMINAL, RunStatus

POLL_SECONDS = 0.5
_PAGE = 200
_STREAMS_LIMIT = 200
_POLLS_AT_ONCE = 4
_KEEP_ALIVE_POLLS = 30


class Streams:
    """How many streams are open in this process, and the threads that their polls share."""

    def __init__(self) -> None:
        self.open = 0
        self.limiter = CapacityLimiter(_POLLS_AT_ONCE)


async def run_events(
    services: Services, identity: Identity, run: str, request: Request
) -> Response:
    """Return the stream. Raises ForbiddenError (404), UnavailableError when too many are open."""
    streams: Streams = request.app.state.streams
    await to_thread.run_sync(visible_run, services.storage, identity, run, limiter=streams.limiter)
    if streams.open >= _STREAMS_LIMIT:
        raise UnavailableError("too_many_streams", "too many streams are open", "Poll instead.")
    said = request.headers.get("last-event-id", "")
    after = int(said) if said.isascii() and said.isdigit() and len(said) < 19 else 0
    headers = {"X-Accel-Buffering": "no"}
    body = _stream(services, identity, run, after, streams)
    return StreamingResponse(body, headers=headers, media_type="text/event-stream")


async def _stream(
    services: Services, identity: Identity, run: str, after: int, streams: Streams
) -> AsyncIterator[bytes]:
    streams.open += 1
    quiet = 0
    try:
        while True:
            poll = await to_thread.run_sync(
                _poll, services, identity, run, after, limiter=streams.limiter
            )
            if poll is None:
                yield _event("end", None, {"reason": "unavailable"})
                return
            rows, state = poll
            for row in rows:
                after = row["id"]
                yield _event("change", after, _change(row))
            if RunStatus(state) in RUN_TERMINAL:
                yield _event("end", None, {"state": state})
                return
            quiet = 0 if rows else quiet + 1
            if quiet % _KEEP_ALIVE_POLLS == _KEEP_ALIVE_POLLS - 1:
                yield b": still here\n\n"
            await asyncio.sleep(POLL_SECONDS)
    finally:
        streams.open -= 1


def _poll(
    services: Services, identity: Identity, run: str, after: int
) -> tuple[list[dict[str, Any]], str] | None:
    """Return the new rows, oldest first, and the state that held before they were read."""
    try:
        if not services.identities.still_valid(identity):
            return None
        state = str(visible_run(services.storage, identity, run)["state"])
        return _rows_after(services.storage, run, after), state
    except HeadwayError:
        return None


def _rows_after(storage: Storage, run: str, after: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        rows, cursor = storage.queries.audit(run=run, teams=None, limit=_PAGE, cursor=cursor)
        found.extend(row for row in rows if row["id"] > after)
        if cursor is None or not rows or rows[-1]["id"] <= after:
            return sorted(found, key=lambda row: int(row["id"]))


def _change(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"at": row["at"], "actor": row["actor"], "transitions": row["transitions"]}


def _event(name: str, id: int | None, data: Mapping[str, Any]) -> bytes:
    head = f"event: {name}\n" + ("" if id is None else f"id: {id}\n")
    return head.encode() + b"data: " + json_bytes(data) + b"\n\n"
