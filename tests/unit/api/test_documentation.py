"""docs/api.md names every route, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from starlette.routing import Route

from headway_coordinator.api.app import create_app
from tests.unit.api.house import House

PAGE = Path(__file__).parents[3] / "docs" / "api.md"


def test_every_route_is_documented_and_nothing_else(house: House) -> None:
    documented = set(re.findall(r"^\| `([A-Z]+) (/[^`]*)` \|", PAGE.read_text(), re.MULTILINE))
    routes = {
        (method, route.path)
        for route in house.app.routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "HEAD"
    }
    assert documented == routes


def test_the_app_works_without_pages(house: House) -> None:
    bare = {getattr(route, "path", "") for route in create_app(house.services).routes}
    assert "/api/v1/runs" in bare
    assert "/r/{id}" not in bare
