"""The gate before every route: who is asking, how much may be sent, which headers go out.

It stands before routing, so a path that is not on the open list needs a token whether it exists or
not, and no suffix, prefix or other spelling of an open path is open. A browser's session counts
only to read pages and what they link to.
"""

from __future__ import annotations

import asyncio
import re
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote

from anyio import CapacityLimiter, to_thread
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headway.errors import ForbiddenError, HeadwayError
from headway.protocol.messages import REQUEST_LIMIT_BYTES
from headway_coordinator.access.roles import Identity
from headway_coordinator.access.seals import SESSION_COOKIE
from headway_coordinator.api.problems import problem, response_of
from headway_coordinator.application.identity import Identities, not_signed_in
from headway_coordinator.application.uploads import ARTIFACT_LIMIT_BYTES

OPEN = frozenset(
    {
        ("GET", "/healthz"),
        ("HEAD", "/healthz"),
        ("GET", "/readyz"),
        ("HEAD", "/readyz"),
        ("GET", "/sign-in"),
        ("HEAD", "/sign-in"),
        ("POST", "/sign-in"),
        # A webhook proves itself by its own signature; see `is_hook`.
        ("POST", "/api/v1/hooks/{source}/{name}"),
    }
)
_HOOK = re.compile(r"/api/v1/hooks/[a-z0-9-]{1,40}/[a-z0-9-]{1,63}")
HOOK_PATIENCE_S = 10.0
BODY_LIMIT_BYTES = 1024 * 1024
_LINKED = re.compile(r"/api/v1/(artifacts/[^/]+/[^/]+|runs/[^/]+/logs)")
_LOOK_UPS = 8
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


class Gate:
    """An ASGI app around another."""

    def __init__(self, app: ASGIApp, identities: Identities) -> None:
        self._app = app
        self._identities = identities
        # Look-ups of unknown tokens have threads of their own and cannot use up the workers'.
        self._limiter = CapacityLimiter(_LOOK_UPS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        guarded = _with_headers(send)
        headers = Headers(scope=scope)
        refusal = await self._refusal(scope, headers)
        limit = body_limit(scope["path"])
        refusal = refusal or _too_large(headers, limit)
        if refusal is not None:
            if scope["method"] not in ("GET", "HEAD"):
                refusal.headers["Connection"] = "close"  # its body is not read
            await refusal(scope, receive, guarded)
            return
        counted = _counted(receive, limit)
        await self._app(scope, _hurried(counted) if is_hook(scope) else counted, guarded)

    async def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """Put the identity into the scope, or return why there is none."""
        if (scope["method"], scope["path"]) in OPEN or is_hook(scope):
            return None
        try:
            scope.setdefault("state", {})["identity"] = await self._identity(scope, headers)
        except HeadwayError as error:
            anonymous = isinstance(error, ForbiddenError) and error.status == 401
            if anonymous and is_page(scope) and "authorization" not in headers:
                return _to_sign_in(scope)
            return response_of(error)
        except Exception as error:
            return response_of(error)
        return None

    async def _identity(self, scope: Scope, headers: Headers) -> Identity:
        authorization = headers.get("authorization")
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer":
                raise not_signed_in("only bearer tokens are known here")
            known = self._identities.cached(token)
            return known or await self._look_up_token(token)
        session = _cookie(headers) if takes_session(scope) else None
        if session is None:
            raise not_signed_in("no token was sent")
        identity = await to_thread.run_sync(
            self._identities.of_session, session, limiter=self._limiter
        )
        if identity is None:
            raise not_signed_in("the session has ended")
        return identity

    async def _look_up_token(self, token: str) -> Identity:
        return await to_thread.run_sync(self._identities.of_token, token, limiter=self._limiter)


def is_page(scope: Scope) -> bool:
    """Say whether the request reads a page: without a session the browser is sent to sign in."""
    path = scope["path"]
    return scope["method"] in ("GET", "HEAD") and (path == "/" or path.startswith("/r/"))


def is_hook(scope: Scope) -> bool:
    """Say whether the request is a webhook's delivery."""
    return scope["method"] == "POST" and _HOOK.fullmatch(scope["path"]) is not None


def takes_session(scope: Scope) -> bool:
    """Say whether a browser's session is enough: for pages, and files and logs they link to."""
    return is_page(scope) or (
        scope["method"] == "GET" and _LINKED.fullmatch(scope["path"]) is not None
    )


def body_limit(path: str) -> int:
    """Return how many bytes a request to the path may have."""
    if path.startswith("/worker/v1/artifacts/"):
        return ARTIFACT_LIMIT_BYTES
    if path.startswith("/worker/v1/") or path == "/api/v1/pipelines":
        return REQUEST_LIMIT_BYTES
    return BODY_LIMIT_BYTES


def _to_sign_in(scope: Scope) -> Response:
    path = scope["path"]
    query = scope.get("query_string", b"").decode("latin-1")
    wanted = quote(f"{path}?{query}" if query else path, safe="")
    return RedirectResponse(f"/sign-in?next={wanted}", 303)


def _cookie(headers: Headers) -> str | None:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(headers.get("cookie", ""))
    except CookieError:
        return None
    morsel = jar.get(SESSION_COOKIE)
    return morsel.value if morsel else None


def _too_large(headers: Headers, limit: int) -> Response | None:
    said = headers.get("content-length")
    if said is None:
        return None
    if not said.isascii() or not said.isdigit():
        return problem(400, "bad_request", "Content-Length is no number")
    if len(said) <= 15 and int(said) <= limit:
        return None
    return problem(413, "too_large", f"the body is over the limit of {limit} bytes")


def _counted(receive: Receive, limit: int) -> Receive:
    """A body without a stated length is cut off as soon as it is over the limit."""
    got = 0

    async def counted() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > limit:
            raise HTTPException(413, f"the body is over the limit of {limit} bytes")
        return message

    return counted


def _hurried(receive: Receive) -> Receive:
    """Nobody has signed in: a body that comes drop by drop is cut off."""
    loop = asyncio.get_running_loop()
    until = loop.time() + HOOK_PATIENCE_S
    whole = False

    async def hurried() -> Message:
        nonlocal whole
        if whole:
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), max(0.0, until - loop.time()))
        except TimeoutError:
            raise HTTPException(408, "the body took too long", {"Connection": "close"}) from None
        whole = not message.get("more_body", False)
        return message

    return hurried


def _with_headers(send: Send) -> Send:
    """An answer's own headers stay; the others are added."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = message.get("headers", ())
            names = {name.lower() for name, _ in own}
            missing = [header for header in _HEADERS if header[0] not in names]
            message = {**message, "headers": [*own, *missing]}
        await send(message)

    return sending
