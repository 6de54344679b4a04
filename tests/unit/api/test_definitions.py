"""Applying and reading definitions."""

from __future__ import annotations

from typing import Any

from tests.unit.api.house import SALES, House


def apply(house: House, *texts: str, team: str | None = "analytics", role: Any = "author") -> Any:
    files = [{"name": f"{i}.yaml", "text": text} for i, text in enumerate(texts)]
    return house.ask(role, "POST", "/api/v1/pipelines", team=team, json={"files": files})


def test_a_definition_is_applied_once_and_read_back(house: House) -> None:
    [first] = apply(house, SALES).json()["applied"]
    [again] = apply(house, SALES).json()["applied"]
    [changed] = apply(house, SALES.replace("echo load", "echo more")).json()["applied"]

    assert (first["pipeline"], first["team"], first["version"]) == ("sales", "analytics", 1)
    assert (first["changed"], again["changed"], changed["changed"]) == (True, False, True)
    assert again["digest"] == first["digest"] != changed["digest"]
    shown = house.ask("viewer", "GET", "/api/v1/pipelines/analytics/sales").json()
    assert (shown["version"], shown["digest"]) == (2, changed["digest"])
    assert "echo more" in shown["source"]
    assert shown["definition"]["owner"] == "sales@example.com"
    [listed] = house.ask("viewer", "GET", "/api/v1/pipelines").json()["pipelines"]
    assert (listed["pipeline"], listed["last_run"]) == ("sales", None)


def test_one_problem_and_nothing_is_applied(house: House) -> None:
    broken = SALES.replace("pipeline: sales", "pipeline: other").replace("owner:", "ownr:")
    response = apply(house, SALES, broken)

    body = response.json()
    assert (response.status_code, body["code"]) == (422, "invalid_definition")
    assert {p["file"] for p in body["problems"]} == {"1.yaml"}
    assert all(p["line"] >= 1 and p["message"] for p in body["problems"])
    assert house.ask("viewer", "GET", "/api/v1/pipelines").json()["pipelines"] == []


def test_one_pipeline_in_two_files_is_a_problem(house: House) -> None:
    body = apply(house, SALES, SALES).json()
    assert [p["code"] for p in body["problems"]] == ["duplicate_pipeline"]


def test_a_team_applies_for_itself_alone(house: House) -> None:
    foreign = apply(house, SALES, team="risk")
    assert (foreign.status_code, foreign.json()["code"]) == (403, "foreign_team")


def test_only_an_administrator_of_all_adds_a_team_by_applying(house: House) -> None:
    author = apply(house, SALES, team=None, role="author")
    assert (author.status_code, author.json()["code"]) == (422, "unknown_team")
    assert apply(house, SALES, team=None, role="admin").status_code == 200
    assert apply(house, SALES, team=None, role="author").status_code == 200


def test_lists_of_definitions_have_pages(house: House) -> None:
    apply(house, *(SALES.replace("sales\n", f"sales-{i}\n", 1) for i in range(5)))
    found, cursor = [], None
    for _ in range(3):
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        body = house.ask("viewer", "GET", "/api/v1/pipelines", params=params).json()
        found += [row["pipeline"] for row in body["pipelines"]]
        cursor = body["next"]
    assert found == [f"sales-{i}" for i in range(5)]
    assert cursor is None
