"""A run started anew over HTTP: the new run names the old one, and both show it."""

from __future__ import annotations

from typing import Any

from tests.unit.api.house import SALES, House

PATH = "/api/v1/runs/{}/rerun"


def again(house: House, run: str, role: Any = "operator", **more: Any) -> Any:
    return house.ask(role, "POST", PATH.format(run), **more)


def test_the_new_run_has_the_params_date_and_definition_of_the_old_one(house: House) -> None:
    run = house.running(params={"region": "us"}, logical_date="2026-01-01T00:00:00Z")
    house.apply(SALES.replace("echo load", "echo other"))
    answer = again(house, run, json={"reason": "the source is mended"})
    assert answer.status_code == 202, answer.text
    new = answer.json()
    assert (new["rerun_of"], new["pipeline"], new["created"]) == (run, "sales", True)
    house.lead()
    old, shown = house.shown(run), house.shown(new["id"])
    for name in ("params", "digest", "logical_date", "version"):
        assert shown[name] == old[name]
    assert shown["origin"] == {"rerun_of": run, "reason": "the source is mended"}
    assert [(r["id"], r["state"]) for r in old["reruns"]] == [(new["id"], "running")]
    assert shown["reruns"] == []


def test_with_other_params_and_the_latest_definition(house: House) -> None:
    text = SALES.replace("steps:", "  many: {type: int, default: 1}\nsteps:", 1)
    run = house.running(text, params={"region": "us", "many": 7})
    house.apply(SALES.replace("echo load", "echo other"))
    new = again(house, run, json={"params": {"region": "eu"}, "latest": True}).json()["id"]
    house.lead()
    shown = house.shown(new)
    assert shown["params"] == {"region": "eu"}
    assert shown["digest"] != house.shown(run)["digest"]
    refused = again(house, run, json={"params": {"odd": 1}})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_params")


def test_a_key_makes_it_harmless_to_repeat(house: House) -> None:
    run = house.running()
    headers = {"Idempotency-Key": "once"}
    first, second = (again(house, run, headers=headers).json() for _ in range(2))
    assert (first["id"], first["created"], second["created"]) == (second["id"], True, False)
    assert again(house, run, json={"latest": True}, headers=headers).json()["created"]


def test_who_may_do_it(house: House) -> None:
    run = house.running()
    assert again(house, run, "viewer").status_code == 403
    assert again(house, run, team="risk").status_code == 404
    assert again(house, "nope").status_code == 404
