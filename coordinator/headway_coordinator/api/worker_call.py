"""One message of a worker in, one message out: bytes all the way, in one hop to a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from starlette.types import Receive, Scope, Send

from headway.errors import ForbiddenError
from headway.protocol.messages import Message, parse
from headway_coordinator.access.roles import Action, Identity
from headway_coordinator.api.guards import identified
from headway_coordinator.api.problems import response_of
from headway_coordinator.api.threads import Threads
from headway_coordinator.application.services import Services

M = TypeVar("M", bound=Message)

_JSON = (b"content-type", b"application/json")


class WorkerCall(Generic[M]):
    """An ASGI app behind the gate that needs nothing of the framework, errors included."""

    action = Action.WORK

    def __init__(
        self,
        services: Services,
        model: type[M],
        handle: Callable[[Services, str, M], bytes],
        threads: Threads,
    ) -> None:
        self._services = services
        self._model = model
        self._handle = handle
        self._threads = threads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            team = team_of(identified(scope, self.action))
            body = await whole_body(receive)
            if body is None:
                return  # the worker has gone, and nothing was done yet
            answer = await self._threads.run(self._answer, team, body)
        except Exception as error:
            await response_of(error)(scope, receive, send)
        else:
            await send_json(send, answer)

    def _answer(self, team: str, body: bytes) -> bytes:
        return self._handle(self._services, team, parse(self._model, body))


def team_of(identity: Identity) -> str:
    """Return the team of a worker. Raises ForbiddenError: the token is of no team."""
    if identity.team is None:
        raise ForbiddenError("forbidden", "a worker's token belongs to one team")
    return identity.team


async def whole_body(receive: Receive) -> bytes | None:
    """Return the request's body; None if the caller went away before its end."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def send_json(send: Send, answer: bytes, status: int = 200) -> None:
    """Send an answer that is JSON already."""
    headers = [(b"content-length", b"%d" % len(answer)), _JSON]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
