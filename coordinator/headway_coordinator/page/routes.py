"""The pages' routes: read by the same use cases as the API; nothing changes but the cookie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from headway.errors import ForbiddenError, HeadwayError
from headway_coordinator.access.addresses import local_path
from headway_coordinator.access.roles import Action, Identity
from headway_coordinator.access.seals import SESSION_COOKIE, SESSION_LIFE
from headway_coordinator.application import reading
from headway_coordinator.application.identity import not_signed_in, require
from headway_coordinator.application.ports import RunFilter
from headway_coordinator.application.services import Services
from headway_coordinator.page.rendering import page
from headway_coordinator.page.view import failed_steps, run_look, run_view
from headway_coordinator.page.words import duration, web_address

_FORM_LIMIT_BYTES = 8192
_TAILS = 5
_TAIL_LINES = 20
_LIST = 50

Draw = Callable[[Services, Identity, Request], Response]


def page_routes(services: Services) -> list[BaseRoute]:
    """Return `/`, `/r/{id}` and `/sign-in`."""
    sign_in = SignIn(services)
    return [
        Route("/", Page(services, draw_runs), methods=["GET"]),
        Route("/r/{id}", Page(services, draw_run), methods=["GET"]),
        Route("/sign-in", sign_in.show, methods=["GET"]),
        Route("/sign-in", sign_in.enter, methods=["POST"]),
    ]


class Page:
    """An endpoint for people who may read runs; errors are pages too."""

    action = Action.READ_RUNS

    def __init__(self, services: Services, draw: Draw) -> None:
        self._services = services
        self._draw = draw

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await to_thread.run_sync(self._drawn, Request(scope, receive))
        await response(scope, receive, send)

    def _drawn(self, request: Request) -> Response:
        try:
            identity = getattr(request.state, "identity", None)
            if not isinstance(identity, Identity):
                raise not_signed_in("no identity")
            require(identity, self.action)
            return self._draw(self._services, identity, request)
        except HeadwayError as error:
            status = error.status if isinstance(error, ForbiddenError) else error.http_status
            return page("problem.html", status, title=_title(status), error=error)


def _title(status: int) -> str:
    return {404: "Not found", 403: "Not allowed", 401: "Not signed in"}.get(status, "No answer")


def draw_run(services: Services, identity: Identity, request: Request) -> Response:
    """The page of one run."""
    run = reading.visible_run(services.storage, identity, request.path_params["id"])
    stored = services.storage.definitions.get(run["digest"])
    canonical: Mapping[str, Any] = stored.canonical if stored else {}
    view = run_view(
        run,
        now=services.clock.now(),
        blockers=_blockers(services, run),
        tails=_tails(services, identity, run),
        allowed=_allowed(canonical),
    )
    return page(
        "run.html",
        view=view,
        run=run,
        now=services.clock.now(),
        owner=canonical.get("owner"),
        runbook=web_address(canonical.get("runbook")),
    )


def _allowed(canonical: Mapping[str, Any]) -> set[str]:
    """Return the names of the steps whose failure is no failure of the run."""
    steps = (step for part in ("steps", "finally") for step in canonical.get(part) or [])
    return {step["name"] for step in steps if step.get("allow_failure")}


def _blockers(services: Services, run: Mapping[str, Any]) -> dict[str, Sequence[Mapping[str, Any]]]:
    if run_look(run).tone in ("ok", "fail") or run["state"] == "cancelled":
        return {}
    explained = reading.explained(services, run["id"])
    return {str(row["step"]): row["blockers"] for row in explained["steps"]}


def _tails(services: Services, identity: Identity, run: Mapping[str, Any]) -> dict[str, list[str]]:
    """The last lines of the first failed steps; a page without them is better than none."""
    tails: dict[str, list[str]] = {}
    if not identity.may(Action.READ_LOGS):
        return tails
    for step in failed_steps(run)[:_TAILS]:
        attempt = reading.attempt_of(step, None)
        if attempt is None:
            continue
        try:
            lines = reading.tail(services.store, run["id"], attempt["id"], lines=_TAIL_LINES)
        except HeadwayError as error:
            lines = [f"(the log cannot be read: {error.message})"]
        tails[str(step["step"])] = lines
    return tails


def draw_runs(services: Services, identity: Identity, request: Request) -> Response:
    """The page of the last runs."""
    wanted = RunFilter(
        identity.teams,
        _plain(request.query_params.get("pipeline")),
        (),
        _LIST,
        _plain(request.query_params.get("cursor")),
    )
    rows, following = services.storage.queries.runs(wanted)
    now = services.clock.now()
    runs = [{**row, "look": run_look(row), "took": duration(_length(row, now))} for row in rows]
    return page("runs.html", runs=runs, next=following, pipeline=wanted.pipeline, now=now)


def _plain(text: str | None) -> str | None:
    return text if text and len(text) <= 500 and text.isascii() and text.isprintable() else None


def _length(row: Mapping[str, Any], now: Any) -> Any:
    return (row["finished_at"] or now) - (row["started_at"] or row["created_at"])


class SignIn:
    """Anybody may come here, with a ticket or with a token to paste; it tells nothing else."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def show(self, request: Request) -> Response:
        """A good ticket signs in and goes on; without one there is a form."""
        wanted = local_path(request.query_params.get("next"))
        ticket = request.query_params.get("ticket")
        if ticket is None:
            return page("sign_in.html", next=wanted, problem=None)
        identity = self._services.identities.of_ticket(ticket)
        if identity is None:
            problem = "The link has expired. Paste a token, or ask for a new link."
            return page("sign_in.html", 401, next=wanted, problem=problem)
        return self._enter(request, identity, wanted)

    async def enter(self, request: Request) -> Response:
        """The form was sent."""
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            problem = "The form was sent from another site."
            return page("sign_in.html", 403, next="/", problem=problem)
        body = await request.body()
        if len(body) > _FORM_LIMIT_BYTES:
            return page("sign_in.html", 413, next="/", problem="That is too long for a token.")
        return await to_thread.run_sync(self._entered, request, body)

    def _entered(self, request: Request, body: bytes) -> Response:
        fields = _fields(body)
        wanted, token = local_path(fields.get("next")), fields.get("token", "").strip()
        try:
            identity = self._services.identities.of_token(token)
        except HeadwayError as error:
            status = error.status if isinstance(error, ForbiddenError) else error.http_status
            return page("sign_in.html", status, next=wanted, problem=_sentence(error))
        if identity.may(Action.WORK):
            problem = "This is a worker's token. It cannot sign in here."
            return page("sign_in.html", 403, next=wanted, problem=problem)
        return self._enter(request, identity, wanted)

    def _enter(self, request: Request, identity: Identity, wanted: str) -> Response:
        session, _ = self._services.identities.session(identity)
        response = RedirectResponse(wanted, 303)
        response.set_cookie(
            SESSION_COOKIE,
            session,
            max_age=int(SESSION_LIFE.total_seconds()),
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
            path="/",
        )
        return response


def _fields(body: bytes) -> dict[str, str]:
    """Return the form's fields; a form that is no form has none."""
    try:
        given = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10)
    except ValueError:
        return {}
    return {name: values[0] for name, values in given.items()}


def _sentence(error: HeadwayError) -> str:
    return f"{error.message[:1].upper()}{error.message[1:]}."
