"""What a route demands of its caller; an app with a route that demands nothing is not started."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Route

from headway.errors import DefectError
from headway_coordinator.access.roles import Action, Identity
from headway_coordinator.api.gate import OPEN
from headway_coordinator.application.identity import not_signed_in, require
from headway_coordinator.application.services import Services


class Allow:
    """A dependency: the caller's identity, whose role allows the action."""

    def __init__(self, action: Action) -> None:
        self.action = action

    async def __call__(self, request: Request) -> Identity:
        return identified(request.scope, self.action)


def identified(scope: Any, action: Action) -> Identity:
    """Return the identity that the gate found, if its role allows the action."""
    identity = scope.get("state", {}).get("identity")
    if not isinstance(identity, Identity):
        raise not_signed_in("no identity")
    require(identity, action)
    return identity


async def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Parts = Annotated[Services, Depends(services_of)]


def demanded(route: BaseRoute) -> Action | None:
    """Return the action that a route demands, None if it demands nothing."""
    if isinstance(route, APIRoute):
        return _in_dependencies(route.dependant)
    action = getattr(getattr(route, "endpoint", None), "action", None)
    return action if isinstance(action, Action) else None


def _in_dependencies(dependant: Dependant) -> Action | None:
    for dependency in dependant.dependencies:
        if isinstance(dependency.call, Allow):
            return dependency.call.action
    return None


def check_guarded(routes: Iterable[BaseRoute]) -> None:
    """Raises DefectError if a route that is not on the open list names no action."""
    for route in routes:
        if not isinstance(route, Route | APIRoute):
            raise DefectError("open_route", f"{route!r} is no plain route")
        pairs = {(method, route.path) for method in route.methods or ()}
        if not pairs <= OPEN and demanded(route) is None:
            raise DefectError("open_route", f"{route.path} names no action")
