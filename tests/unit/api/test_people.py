"""Teams and tokens, the installation's overview, and this API's description."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api.house import House


def make(house: House, *, by: str | None = None, **body: Any) -> Any:
    """Ask for a token as an administrator of the team `by`, or of all."""
    body = {"subject": "bo", "role": "viewer", **body}
    return house.ask("admin", "POST", "/api/v1/tokens", team=by, json=body)


def test_a_token_is_shown_once_and_works(house: House) -> None:
    house.token("admin", "analytics")
    made = make(house, by="analytics", team="analytics", role="viewer", expires_in="30d")

    body = made.json()
    assert made.status_code == 201
    assert body["expires_at"] == "2026-03-31T06:00:00.000Z"
    headers = {"Authorization": f"Bearer {body['token']}"}
    assert house.client.get("/api/v1/runs", headers=headers).status_code == 200
    listed = house.ask("admin", "GET", "/api/v1/tokens").json()["tokens"]
    assert body["id"] in {row["id"] for row in listed}
    assert all("token" not in row and "sha256" not in row for row in listed)


@pytest.mark.parametrize("team", [None, "risk"])
def test_a_team_admin_makes_no_token_beyond_the_team(house: House, team: str | None) -> None:
    house.token("viewer", "risk")
    response = make(house, by="analytics", team=team)
    assert (response.status_code, response.json()["code"]) == (403, "foreign_team")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"team": "nowhere"}, "unknown_team"),
        ({"role": "worker"}, "team_needed"),
        ({"role": "root"}, "invalid_request"),
        ({"subject": ""}, "invalid_request"),
        ({"subject": "a\nb"}, "invalid_request"),
        ({"expires_in": 0}, "invalid_request"),
        ({"expires_in": "soon"}, "invalid_request"),
        ({"expires_in": 10**12}, "invalid_request"),
        ({"admin": True}, "invalid_request"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(
    house: House, body: dict[str, Any], code: str
) -> None:
    response = make(house, **body)
    assert (response.status_code, response.json()["code"]) == (422, code)


def test_teams_are_added_by_the_platform_alone(house: House) -> None:
    body = {"name": "risk"}
    assert house.ask("admin", "POST", "/api/v1/teams", json=body).status_code == 403
    first = house.ask("admin", "POST", "/api/v1/teams", team=None, json=body)
    again = house.ask("admin", "POST", "/api/v1/teams", team=None, json=body)
    assert (first.status_code, first.json()) == (201, {"name": "risk", "created": True})
    assert (again.status_code, again.json()) == (200, {"name": "risk", "created": False})


@pytest.mark.parametrize("name", ["headway", "Risk", "", "a.b", "-a", "a" * 64])
def test_some_names_are_no_teams(house: House, name: str) -> None:
    response = house.ask("admin", "POST", "/api/v1/teams", team=None, json={"name": name})
    assert response.status_code == 422


def test_the_overview_tells_queues_workers_and_the_leader(house: House) -> None:
    house.running()
    [worker] = house.ask("viewer", "GET", "/api/v1/workers").json()["workers"]
    assert (worker["worker"], worker["live"], worker["slots"]) == ("w1", True, 4)
    queues = house.ask("viewer", "GET", "/api/v1/queues").json()["queues"]
    [busy] = [q for q in queues if q["dispatched"]]
    assert busy["team"] == "analytics"
    leader = house.ask("viewer", "GET", "/api/v1/leader").json()
    assert (leader["holder"], leader["epoch"], leader["alive"]) == ("leader", 1, True)
    house.storage.leases.release(house.lease)
    assert house.ask("viewer", "GET", "/api/v1/leader").json()["alive"] is False


def test_the_audit_is_told_newest_first_in_pages(house: House) -> None:
    run = house.running()
    house.finish("extract", outputs={"rows": 1})
    path = "/api/v1/audit"
    whole = house.ask("operator", "GET", path, params={"run": run}).json()["audit"]
    assert len(whole) > 1
    assert [row["id"] for row in whole] == sorted((r["id"] for r in whole), reverse=True)
    page = house.ask("operator", "GET", path, params={"run": run, "limit": 1}).json()
    assert page["audit"] == whole[:1]
    params = {"run": run, "limit": 1, "cursor": page["next"]}
    assert house.ask("operator", "GET", path, params=params).json()["audit"] == whole[1:2]


def test_the_description_lists_the_routes_and_needs_a_token(house: House) -> None:
    described = house.ask("viewer", "GET", "/api/v1/openapi.json").json()
    assert {"/api/v1/runs", "/api/v1/runs/{id}/cancel", "/api/v1/pipelines"} <= set(
        described["paths"]
    )
    assert house.client.get("/api/v1/openapi.json").status_code == 401


def test_readiness_is_the_databases(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import timedelta

    from headway_coordinator.application.ports import StorageUnavailable

    def away() -> None:
        raise StorageUnavailable("the database is away")

    monkeypatch.setattr(house.storage.sweeps, "database_now", away)
    monkeypatch.setattr(house.storage.queries, "runs", lambda wanted: away())

    down = house.client.get("/readyz")
    assert (down.status_code, down.json()) == (503, {"status": "unavailable"})
    assert house.client.get("/healthz").status_code == 200
    listed = house.ask("viewer", "GET", "/api/v1/runs")
    assert (listed.status_code, listed.json()["code"]) == (503, "database_unavailable")
    assert listed.headers["retry-after"] == "2"

    monkeypatch.undo()
    assert house.client.get("/readyz").status_code == 503  # asked at most once a second
    house.clock.advance(timedelta(seconds=1))
    assert house.client.get("/readyz").status_code == 200


def test_what_nobody_expected_tells_nothing_of_the_inside(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(wanted: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(house.storage.queries, "runs", broken)
    response = house.ask("viewer", "GET", "/api/v1/runs")
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert "hunter2" not in response.text
