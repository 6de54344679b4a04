"""The app: the gate, the routes, and a check that no route stands open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import FastAPI
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

import headway
from headway_coordinator.api import (
    backfills,
    events,
    notifications,
    overview,
    pauses,
    people,
    pipelines,
    problems,
    recovery,
    runs,
    secrets,
)
from headway_coordinator.api.gate import Gate
from headway_coordinator.api.guards import check_guarded
from headway_coordinator.api.health import health_routes
from headway_coordinator.api.live import Streams
from headway_coordinator.api.start_call import START_PATH, StartCall
from headway_coordinator.api.worker_routes import worker_calls, worker_routes
from headway_coordinator.application.identity import Identities
from headway_coordinator.application.services import Services

__all__ = ["App", "Services", "create_app"]


class App:
    """The ASGI app. The gate stands before everything; behind it, the busy calls go straight to
    their handlers, past the framework's layers, which cost more than a claim itself."""

    def __init__(
        self, framework: FastAPI, calls: Mapping[str, ASGIApp], identities: Identities
    ) -> None:
        self.calls = calls
        self._framework = framework
        self._gate = Gate(self._inside, identities)

    @property
    def routes(self) -> list[BaseRoute]:
        """Every route, the workers' calls included."""
        return self._framework.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._gate(scope, receive, send)

    async def _inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        call = self.calls.get(scope["path"]) if is_post else None
        await (call or self._framework)(scope, receive, send)


def create_app(services: Services, pages: Sequence[BaseRoute] = ()) -> App:
    """Return the HTTP app. `pages` are the routes of `headway_coordinator.page.page_routes`.

    Raises DefectError if a route neither names an action nor is on the gate's open list.
    """
    app = FastAPI(
        title="Headway",
        version=headway.__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.streams = Streams()
    calls = worker_calls(services)
    app.router.routes.extend(worker_routes(services, calls))
    parts = (
        runs,
        recovery,
        pauses,
        pipelines,
        events,
        backfills,
        notifications,
        people,
        secrets,
        overview,
    )
    for part in parts:
        # As plain routes, which `check_guarded` can look into.
        app.router.routes.extend(part.router.routes)
    app.router.routes.extend([*health_routes(services), *pages])
    problems.install(app)
    check_guarded(app.routes)
    busy: dict[str, ASGIApp] = {**calls, START_PATH: StartCall(services, app)}
    return App(app, busy, services.identities)
