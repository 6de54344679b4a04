"""Who gets in: nobody without a token, everybody only as far as the role and the team reach."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from fastapi import FastAPI
from starlette.routing import Route

from headway.errors import DefectError
from headway_coordinator.access.roles import ROLES, Action, allowed
from headway_coordinator.api.gate import OPEN
from headway_coordinator.api.guards import check_guarded, demanded
from tests.unit.api.house import House

VALUES = {"id": "r1", "team": "analytics", "name": "sales", "step": "extract", "version": "1"}
VALUES |= {"attempt": "r1-0-1", "sha256": "0" * 64, "source": "github", "trigger": "event"}
VALUES |= {"queue": "analytics.small"}
FOREIGN = {"/api/v1/events", "/api/v1/hooks/github/sales"}
SUFFIXES = ["/", "/healthz", "/readyz", "%2fhealthz", ";/healthz", "?x=/healthz", "//", "/.."]


def every_route(house: House) -> Iterator[tuple[str, str, Action | None]]:
    """Yield (method, path with values, action)."""
    for route in house.app.routes:
        assert isinstance(route, Route)
        for method in sorted(route.methods or ()):
            yield method, route.path.format(**VALUES), demanded(route)


def test_there_are_the_routes_that_the_tests_believe_in(house: House) -> None:
    routes = {(m, p) for m, p, _ in every_route(house)}
    assert ("POST", "/worker/v1/claims") in routes
    assert ("GET", "/api/v1/runs/r1/events") in routes
    assert ("GET", "/r/r1") in routes
    assert len(routes) > 40
    opened = {(method, path.format(**VALUES)) for method, path in OPEN}
    assert {(m, p) for m, p, action in every_route(house) if action is None} == opened


def test_nobody_gets_in_without_a_token(house: House) -> None:
    house.running()
    for method, path, action in every_route(house):
        if action is None:
            continue
        response = house.client.request(method, path)
        if response.status_code == 303:
            assert action is Action.READ_RUNS
            assert response.headers["location"].startswith("/sign-in?next=%2F"), path
        else:
            assert response.status_code == 401, (method, path)
            assert response.headers["www-authenticate"] == "Bearer"


def test_no_spelling_of_an_open_path_opens_another(house: House) -> None:
    for _, path, action in every_route(house):
        if action is None or path == "/":
            continue
        for suffix in SUFFIXES:
            response = house.client.get(path + suffix)
            assert response.status_code in (401, 303), path + suffix
    for path in [
        "/healthz/",
        "/healthz/x",
        "/Healthz",
        "/x/healthz",
        "/readyz.json",
        "/sign-in/",
        "/sign-in/x",
        "/nowhere",
        "/docs",
        "/openapi.json",
        "/api/v1/%2e%2e/%2e%2e/healthz",
    ]:
        assert house.client.get(path).status_code == 401, path
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"]:
        assert house.client.request(method, "/healthz").status_code == 401, method


def test_the_open_paths_answer_anybody(house: House) -> None:
    assert house.client.get("/healthz").json() == {"status": "ok"}
    assert house.client.get("/readyz").json() == {"status": "ok"}
    assert house.client.get("/sign-in").status_code == 200


@pytest.mark.parametrize("role", sorted(ROLES))
def test_each_role_gets_as_far_as_its_table(house: House, role: str) -> None:
    house.apply()
    for method, path, action in every_route(house):
        if action is None or path == "/api/v1/runs/r1/events":
            continue
        response = house.ask(role, method, path)  # type: ignore[arg-type]
        refused = response.status_code == 403 and (method == "HEAD" or "may not" in response.text)
        assert refused is not allowed(role, action), (method, path, response.status_code)


def test_another_teams_objects_are_not_there(house: House) -> None:
    run = house.running()
    won = house.won("extract")
    ref = house.upload(won, "out.txt", b"mine").json()
    house.work("completions", {"completions": [won.sealed(house, artifacts=[ref])]})
    house.lead()
    token = house.new_token("viewer")[1].id
    for method, path in [
        ("GET", f"/api/v1/runs/{run}"),
        ("GET", f"/api/v1/runs/{run}/steps"),
        ("GET", f"/api/v1/runs/{run}/explain"),
        ("GET", f"/api/v1/runs/{run}/logs"),
        ("GET", f"/api/v1/runs/{run}/logs?step=extract"),
        ("GET", f"/api/v1/runs/{run}/events"),
        ("GET", f"/api/v1/runs/{run}/artifacts"),
        ("GET", f"/api/v1/artifacts/{run}/extract?path=out.txt"),
        ("POST", f"/api/v1/runs/{run}/cancel"),
        ("POST", f"/api/v1/runs/{run}/retry"),
        ("GET", f"/api/v1/audit?run={run}"),
        ("GET", "/api/v1/pipelines/analytics/sales"),
        ("DELETE", f"/api/v1/tokens/{token}"),
        ("GET", f"/r/{run}"),
    ]:
        foreign = house.ask("admin", method, path, team="risk")
        assert foreign.status_code == 404, (method, path)
        if path.endswith("/events"):
            continue  # a stream that would not end
        platform = house.ask("admin", method, path, team=None)
        assert platform.status_code != 404, (method, path)


def test_lists_hold_only_what_is_in_scope(house: House) -> None:
    house.running()
    house.token("viewer", "risk")
    for name in ["runs", "pipelines", "queues", "workers", "audit", "tokens"]:
        path = f"/api/v1/{name}"
        assert house.ask("admin", "GET", path, team=None).json()[name], name
        rows = house.ask("admin", "GET", path, team="risk").json()[name]
        assert all(row["team"] == "risk" for row in rows), name
    teams = house.ask("viewer", "GET", "/api/v1/teams", team="risk").json()["teams"]
    assert [row["name"] for row in teams] == ["risk"]


def test_the_team_cannot_be_chosen_by_the_request(house: House) -> None:
    house.apply()
    body = {"pipeline": "sales", "team": "analytics"}
    response = house.ask("operator", "POST", "/api/v1/runs", team="risk", json=body)
    assert response.status_code == 404


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic abc",
        "Bearer hw_short",
        "Bearer hw_" + "a" * 43,
        "Bearer hw_" + "\xe9" * 43,
    ],
)
def test_what_is_no_valid_token_is_refused(house: House, header: str) -> None:
    headers = {b"Authorization": header.encode("latin-1")}
    response = house.client.get("/api/v1/runs", headers=headers)
    assert response.status_code == 401
    assert response.json()["code"] == "not_signed_in"


def test_a_revoked_token_ends_within_five_seconds(house: House) -> None:
    text, token = house.new_token("viewer")
    headers = {"Authorization": f"Bearer {text}"}
    assert house.client.get("/api/v1/runs", headers=headers).status_code == 200

    house.storage.access.revoke_token(token.id)  # by another coordinator
    house.clock.advance(timedelta(seconds=5))

    assert house.client.get("/api/v1/runs", headers=headers).status_code == 401


def test_a_token_that_was_revoked_here_ends_at_once(house: House) -> None:
    text, token = house.new_token("viewer")
    headers = {"Authorization": f"Bearer {text}"}
    assert house.client.get("/api/v1/runs", headers=headers).status_code == 200
    dropped = house.ask("admin", "DELETE", f"/api/v1/tokens/{token.id}")
    assert dropped.json() == {"id": token.id, "subject": token.subject, "revoked": True}
    assert house.client.get("/api/v1/runs", headers=headers).status_code == 401
    again = house.ask("admin", "DELETE", f"/api/v1/tokens/{token.id}")
    assert again.status_code == 409


def test_an_expired_token_ends_on_the_second(house: House) -> None:
    text, _ = house.new_token("viewer", life=timedelta(seconds=2))
    headers = {"Authorization": f"Bearer {text}"}
    assert house.client.get("/api/v1/runs", headers=headers).status_code == 200
    house.clock.advance(timedelta(seconds=2))
    assert house.client.get("/api/v1/runs", headers=headers).status_code == 401


def test_a_dead_token_that_is_repeated_is_held_off(house: House) -> None:
    headers = {"Authorization": "Bearer hw_" + "a" * 43}
    statuses = [house.client.get("/api/v1/runs", headers=headers).status_code for _ in range(25)]
    assert statuses == [401] * 20 + [429] * 5
    held = house.client.get("/api/v1/runs", headers=headers)
    assert held.headers["retry-after"] == "60"
    assert house.ask("viewer", "GET", "/api/v1/runs").status_code == 200
    house.clock.advance(timedelta(minutes=1))
    assert house.client.get("/api/v1/runs", headers=headers).status_code == 401


def test_a_body_over_the_limit_is_refused_by_its_length_and_while_it_comes(house: House) -> None:
    path, big = "/api/v1/runs", b"x" * (1024 * 1024 + 1)

    stated = house.ask("operator", "POST", path, content=big)
    streamed = house.ask("operator", "POST", path, content=iter([big[:1000], big]))
    message = house.ask("worker", "POST", "/worker/v1/claims", content=iter([big] * 9))
    lied = house.ask("operator", "POST", path, headers={"Content-Length": "9" * 30}, content=b"{}")

    for response in (stated, streamed, message, lied):
        assert (response.status_code, response.json()["code"]) == (413, "too_large")


def test_every_route_that_writes_reads_its_body(house: House) -> None:
    """A body that no route reads is taken whatever it holds, and however long it is."""
    writing = [(m, p) for m, p, _ in every_route(house) if m in ("POST", "PUT") and "/api/v1/" in p]
    big = b"x" * (1024 * 1024 + 1)
    assert len(writing) > 8
    for method, path in writing:
        if path in FOREIGN:
            continue  # the form of their bodies is other systems' to say
        garbage = house.ask("admin", method, path, content=b'{"unheard": of}')
        unknown = house.ask("admin", method, path, json={"unheard": "of"})
        endless = house.ask("admin", method, path, content=iter([big] * 9))
        found = [r.json()["code"] for r in (garbage, unknown, endless)]
        assert found[:2] == ["invalid_request"] * 2, (method, path)
        assert found[2] == "too_large", (method, path)


def test_every_answer_carries_the_safety_headers(house: House) -> None:
    for path in ["/healthz", "/nowhere", "/sign-in"]:
        headers = house.client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]


def test_unknown_paths_and_methods_are_problems_too(house: House) -> None:
    nowhere = house.ask("viewer", "GET", "/api/v1/nowhere")
    wrong = house.ask("viewer", "PATCH", "/api/v1/runs")
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert nowhere.headers["content-type"] == "application/problem+json"
    assert wrong.json()["type"] == "urn:headway:problem:method_not_allowed"


def test_an_app_with_an_open_route_is_not_started() -> None:
    app = FastAPI(openapi_url=None)

    @app.get("/secrets")
    def secrets() -> None: ...

    with pytest.raises(DefectError, match="/secrets names no action"):
        check_guarded(app.routes)


def test_a_websocket_is_refused(house: House) -> None:
    from starlette.websockets import WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect), house.client.websocket_connect("/api/v1/runs"):
        pass
