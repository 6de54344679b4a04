"""The same wish for many runs: each by itself, with what refused."""

from __future__ import annotations

from typing import Any

import pytest

from headway_coordinator.application.access_ports import Role
from tests.unit.api.house import SALES, House

UNKNOWN = "0" * 26


def ask(house: House, action: str, ids: list[str], *, role: Role = "operator", **body: Any) -> Any:
    return house.ask(role, "POST", "/api/v1/runs/bulk", json={"action": action, "ids": ids, **body})


def three(house: House) -> list[str]:
    house.apply()
    ids = [house.start().json()["id"] for _ in range(3)]
    house.lead()
    return ids


def states(house: House, ids: list[str]) -> list[str]:
    house.lead()
    return [house.shown(id)["state"] for id in ids]


def test_each_run_is_asked_and_who_refuses_holds_up_no_other(house: House) -> None:
    ids = three(house)
    ask(house, "cancel", ids[:1])
    house.lead()
    answer = ask(house, "cancel", [*ids, UNKNOWN, ids[1]], reason="wrong day")
    body = answer.json()
    assert (answer.status_code, body["action"]) == (202, "cancel")
    assert [row["id"] for row in body["asked"]] == ids[1:]
    assert all(isinstance(row["inbox"], int) for row in body["asked"])
    assert {row["id"]: row["code"] for row in body["refused"]} == {
        ids[0]: "run_ended",
        UNKNOWN: "not_found",
    }
    assert states(house, ids) == ["cancelled"] * 3
    [request] = house.shown(ids[1])["requests"]
    assert (request["kind"], request["reason"]) == ("cancel", "wrong day")


def test_pause_resume_and_retry_of_many(house: House) -> None:
    ids = three(house)
    ask(house, "pause", ids)
    assert states(house, ids) == ["paused"] * 3
    ask(house, "resume", ids[:2])
    assert states(house, ids) == ["running", "running", "paused"]
    ask(house, "cancel", ids)
    assert states(house, ids) == ["cancelled"] * 3
    ask(house, "retry", ids)
    assert states(house, ids) == ["running"] * 3


def test_steps_of_many_runs_are_marked_and_cleared(house: House) -> None:
    ids = three(house)
    ask(house, "mark", ids[:2], steps=["extract"], state="skipped", force=True)
    house.lead()
    shown = [house.shown(id)["steps"][0]["state"] for id in ids]
    assert shown == ["skipped", "skipped", "ready"]
    ask(house, "clear", ids[:1], steps=["extract"])
    house.lead()
    assert house.shown(ids[0])["steps"][0]["state"] == "ready"
    refused = ask(house, "clear", ids, steps=["nothing"]).json()["refused"]
    assert [row["code"] for row in refused] == ["not_found"] * 3


def test_a_rerun_of_many_names_the_new_runs_and_a_key_makes_none_twice(house: House) -> None:
    ids = three(house)
    key = {"Idempotency-Key": "again"}
    body = {"action": "rerun", "ids": ids, "latest": True}
    first = house.ask("operator", "POST", "/api/v1/runs/bulk", json=body, headers=key).json()
    house.lead()
    second = house.ask("operator", "POST", "/api/v1/runs/bulk", json=body, headers=key).json()
    assert first == second
    new = [row["run"] for row in first["asked"]]
    assert len({*new, *ids}) == 6
    assert house.shown(new[0])["origin"]["rerun_of"] == ids[0]


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("pause", {"force": True}),
        ("retry", {"grace": 5}),
        ("retry", {"grace": 0}),
        ("cancel", {"force": True, "grace": 5}),
        ("cancel", {"steps": ["extract"]}),
        ("clear", {}),
        ("mark", {"steps": ["extract"]}),
        ("mark", {"state": "failed"}),
        ("dance", {}),
    ],
)
def test_what_does_not_fit_its_action_is_refused_as_a_whole(
    house: House, action: str, body: dict[str, Any]
) -> None:
    ids = three(house)
    answer = ask(house, action, ids, **body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert states(house, ids) == ["running"] * 3


def test_who_may_only_look_may_ask_nothing_of_many_runs_either(house: House) -> None:
    ids = three(house)
    for action in ("cancel", "pause", "rerun", "retry", "resume"):
        answer = ask(house, action, ids, role="viewer")
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_runs_of_other_teams_are_not_found(house: House) -> None:
    ids = three(house)
    house.apply(SALES.replace("team: analytics", "team: risk"))
    body = {"action": "cancel", "ids": ids}
    answer = house.ask("operator", "POST", "/api/v1/runs/bulk", team="risk", json=body)
    assert [row["code"] for row in answer.json()["refused"]] == ["not_found"] * 3
    assert states(house, ids) == ["running"] * 3
