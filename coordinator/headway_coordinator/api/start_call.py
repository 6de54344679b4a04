"""`POST /api/v1/runs` in its plain form, past the framework's layers.

It is the one call of people that comes by the hundred, and half of its processor time was the
framework's. What is plainly in order is answered here. Anything else goes on to the framework,
whose route does the same and says what is wrong: each refusal has one wording, and one place.
"""

from __future__ import annotations

import re

from pydantic_core import from_json
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headway.errors import HeadwayError
from headway.protocol.bounds import values_in
from headway_coordinator.access.roles import Action, Identity
from headway_coordinator.api.answers import json_bytes
from headway_coordinator.api.bodies import VALUES_LIMIT
from headway_coordinator.api.guards import identified
from headway_coordinator.api.problems import response_of
from headway_coordinator.api.runs import started
from headway_coordinator.api.shapes import StartRun
from headway_coordinator.api.threads import Threads
from headway_coordinator.api.worker_call import send_json, whole_body
from headway_coordinator.application.services import Services

START_PATH = "/api/v1/runs"
# What is larger is read once, by the framework: to read it here first would double its cost.
_PLAIN_BYTES = 16 * 1024
_CALLS = 16
_KEY = re.compile(rb"[\x21-\x7e]{1,200}")


class StartCall:
    """An ASGI app behind the gate, before the framework."""

    action = Action.START_RUN

    def __init__(self, services: Services, framework: ASGIApp) -> None:
        self._services = services
        self._framework = framework
        self._threads = Threads(_CALLS, "starts")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        identity = self._allowed(scope)
        if identity is None or not _is_plain(scope):
            await self._framework(scope, receive, send)
            return
        try:
            body = await whole_body(receive)
            if body is None:
                return  # the caller has gone, and nothing was done yet
            wanted = _read(body)
            if wanted is None:
                await self._framework(scope, _again(body, receive), send)
                return
            answer = await self._threads.run(self._start, identity, wanted, _key(scope))
        except Exception as error:
            await response_of(error)(scope, receive, send)
        else:
            await send_json(send, answer, 202)

    def _allowed(self, scope: Scope) -> Identity | None:
        try:
            return identified(scope, self.action)
        except HeadwayError:
            return None

    def _start(self, identity: Identity, wanted: StartRun, key: str | None) -> bytes:
        return json_bytes(started(self._services, identity, wanted, key))


def _is_plain(scope: Scope) -> bool:
    """Say whether the head is what programs send: JSON of a known and small length, a good key."""
    types = _values(scope, b"content-type")
    lengths = _values(scope, b"content-length")
    keys = _values(scope, b"idempotency-key")
    return (
        types == [b"application/json"]
        and len(lengths) == 1
        and int(lengths[0]) <= _PLAIN_BYTES  # the gate has seen that it is a number
        and len(keys) <= 1
        and all(_KEY.fullmatch(key) for key in keys)
    )


def _values(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


def _key(scope: Scope) -> str | None:
    keys = _values(scope, b"idempotency-key")
    return keys[0].decode("ascii") if keys else None


def _read(body: bytes) -> StartRun | None:
    """Return the request; None if it is not in order, whatever the reason."""
    if values_in(body, VALUES_LIMIT) > VALUES_LIMIT:
        return None
    try:
        return StartRun.model_validate(from_json(body, allow_inf_nan=False))
    except ValueError:
        return None


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body, which was read already, and then what follows."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receiving() -> Message:
        return left.pop() if left else await receive()

    return receiving
