"""Versions of a pipeline over the API."""

from __future__ import annotations

from typing import Any

from tests.unit.api.house import SALES, House

BASE = "/api/v1/pipelines/analytics/sales"


def apply(house: House, *words: str) -> list[Any]:
    applied = []
    for word in words:
        files = [{"name": "f", "text": SALES.replace("echo load", f"echo {word}")}]
        done = house.ask("author", "POST", "/api/v1/pipelines", json={"files": files})
        applied += done.json()["applied"]
    return applied


def back(house: House, version: int, role: Any = "author", **more: Any) -> Any:
    return house.ask(role, "POST", f"{BASE}/rollback", json={"version": version}, **more)


def test_versions_are_listed_newest_first_with_pages(house: House) -> None:
    apply(house, "one", "two", "three")
    first = house.ask("viewer", "GET", f"{BASE}/versions", params={"limit": 2}).json()
    rest = house.ask(
        "viewer", "GET", f"{BASE}/versions", params={"limit": 2, "cursor": first["next"]}
    ).json()
    rows = first["versions"] + rest["versions"]
    assert [(row["version"], row["current"]) for row in rows] == [(3, True), (2, False), (1, False)]
    assert rest["next"] is None
    assert all(row["actor"] and row["created_at"] for row in rows)


def test_one_version_is_shown_as_it_was(house: House) -> None:
    apply(house, "one", "two")
    shown = house.ask("viewer", "GET", f"{BASE}/versions/1").json()
    assert (shown["version"], shown["definition"]["steps"][1]["run"]) == (1, "echo one")
    assert "echo one" in shown["source"]
    assert house.ask("viewer", "GET", f"{BASE}/versions/3").status_code == 404
    assert house.ask("viewer", "GET", f"{BASE}/versions/0").status_code == 422


def test_a_rollback_is_a_new_version_that_names_its_actor(house: House) -> None:
    one, two = apply(house, "one", "two")
    done = back(house, 1).json()
    assert done == {
        "pipeline": "sales",
        "team": "analytics",
        "digest": one["digest"],
        "version": 3,
        "changed": True,
        "restored": 1,
        "previous": 2,
    }
    assert house.ask("viewer", "GET", BASE).json()["digest"] == one["digest"]
    undone = back(house, done["previous"]).json()
    assert (undone["version"], undone["digest"]) == (4, two["digest"])
    rows = house.ask("operator", "GET", "/api/v1/audit").json()["audit"]
    told = [(row["actor"], row["team"], row["transitions"][0]) for row in rows]
    actor = house.ask("viewer", "GET", f"{BASE}/versions/3").json()["actor"]
    moved = {"entity": "pipeline", "id": "analytics/sales"}
    assert told == [
        (actor, "analytics", {**moved, "from": 3, "to": 4, "reason": "rollback to version 2"}),
        (actor, "analytics", {**moved, "from": 2, "to": 3, "reason": "rollback to version 1"}),
    ]


def test_a_rollback_to_what_is_current_changes_nothing(house: House) -> None:
    apply(house, "one")
    done = back(house, 1).json()
    assert (done["version"], done["changed"]) == (1, False)
    assert house.ask("operator", "GET", "/api/v1/audit").json()["audit"] == []


def test_roles_and_teams(house: House) -> None:
    apply(house, "one", "two")
    assert back(house, 1, role="operator").status_code == 403
    assert back(house, 1, team="risk").status_code == 404
    for path in ("", "/versions", "/versions/1"):
        assert house.ask("viewer", "GET", BASE + path, team="risk").status_code == 404
    assert back(house, 9).status_code == 404


def test_a_run_keeps_the_definition_that_it_was_started_with(house: House) -> None:
    one, _ = apply(house, "one", "two")
    back(house, 1)
    run = house.ask("operator", "POST", "/api/v1/runs", json={"pipeline": "sales"}).json()["id"]
    apply(house, "three")  # before the leader has even seen the run
    house.register()
    house.lead()
    house.finish("extract", outputs={"rows": 1})
    work = house.won("load").work
    assert work["body"]["run"] == "echo one"
    shown = house.ask("viewer", "GET", f"/api/v1/runs/{run}").json()
    assert shown["digest"] == one["digest"]
