"""The app: the gate, the routes, and a check that no route stands open."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.routing import BaseRoute

import headway
from headway_coordinator.api import overview, people, pipelines, problems, runs
from headway_coordinator.api.gate import Gate
from headway_coordinator.api.guards import check_guarded
from headway_coordinator.api.health import health_routes
from headway_coordinator.api.live import Streams
from headway_coordinator.api.worker_routes import worker_routes
from headway_coordinator.application.services import Services

__all__ = ["Services", "create_app"]


def create_app(services: Services, pages: Sequence[BaseRoute] = ()) -> FastAPI:
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
    # The busiest routes come first: they are matched one after the other.
    app.router.routes.extend(worker_routes(services))
    for part in (runs, pipelines, people, overview):
        # As plain routes, which `check_guarded` can look into.
        app.router.routes.extend(part.router.routes)
    app.router.routes.extend([*health_routes(services), *pages])
    problems.install(app)
    app.add_middleware(Gate, identities=services.identities)
    check_guarded(app.routes)
    return app
