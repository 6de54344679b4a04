"""Clearing, marking, pausing and resuming over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api.house import House

PATH = "/api/v1/runs/{}/{}"


def ask(house: House, run: str, verb: str, role: Any = "operator", **body: Any) -> Any:
    return house.ask(role, "POST", PATH.format(run, verb), json=body)


def done(house: House, run: str, verb: str, **body: Any) -> dict[str, str]:
    """Ask, let the leader apply it, and return the steps' states."""
    response = ask(house, run, verb, **body)
    assert response.status_code == 202, response.text
    house.lead()
    return {step["step"]: step["state"] for step in house.shown(run)["steps"]}


def failed(house: House) -> str:
    run = house.running()
    house.finish("extract", outcome="failed")
    assert house.shown(run)["state"] == "failed"
    return run


def test_clear(house: House) -> None:
    run = failed(house)
    preview = ask(house, run, "clear", steps=["extract"], dry_run=True).json()
    assert preview == {
        "id": run,
        "inbox": None,
        "clear": [
            {"step": "extract", "state": "failed", "running": False},
            {"step": "load", "state": "upstream_failed", "running": False},
        ],
    }
    assert house.shown(run)["requests"] == []
    states = done(house, run, "clear", steps=["extract"], reason="the source is mended")
    assert states == {"extract": "running", "load": "pending"}
    [asked] = house.shown(run)["requests"]
    assert (asked["kind"], asked["actor"], asked["reason"], asked["result"]) == (
        "clear",
        "operator of analytics",
        "the source is mended",
        "applied",
    )


def test_what_runs_is_cleared_only_by_force(house: House) -> None:
    run = house.running()
    refused = ask(house, run, "clear", steps=["extract"])
    assert (refused.status_code, refused.json()["code"]) == (409, "not_now")
    assert "extract runs" in refused.json()["detail"]
    assert done(house, run, "clear", steps=["extract"], force=True)["extract"] == "running"
    assert [a["no"] for a in house.shown(run)["steps"][0]["attempts"]] == [1, 2]


def test_mark(house: House) -> None:
    run = failed(house)
    states = done(
        house,
        run,
        "mark",
        steps=["extract"],
        state="succeeded",
        outputs={"rows": 3},
        reason="by hand",
    )
    assert states == {"extract": "succeeded", "load": "running"}
    shown = house.shown(run)
    assert shown["steps"][0]["outputs"] == {"rows": 3}
    assert shown["steps"][0]["reason"] == "marked by operator of analytics: by hand"
    house.finish("load")
    assert house.shown(run)["state"] == "succeeded"
    audited = house.ask("operator", "GET", f"/api/v1/audit?run={run}").json()["audit"]
    notes = [t for row in audited for t in row["transitions"] if t["entity"] == "request"]
    assert {
        "entity": "request",
        "asked": "MarkRequested",
        "actor": "operator of analytics",
        "steps": ["extract"],
        "state": "succeeded",
        "reason": "by hand",
    } in notes


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ({"steps": ["extract"]}, "declares the output `rows`, which has no value"),
        ({"steps": ["extract"], "outputs": {"rows": "x"}}, "must be of type int"),
        ({"steps": ["extract"], "outputs": {"rows": 1, "odd": 2}}, "declares no output `odd`"),
        ({"steps": ["extract", "load"]}, "mark one step at a time"),
        ({"steps": ["extract"], "state": "failed", "outputs": {"rows": 1}}, "only a step that"),
    ],
)
def test_outputs_of_a_marked_step_are_checked(
    house: House, body: dict[str, Any], what: str
) -> None:
    run = failed(house)
    refused = ask(house, run, "mark", **{"state": "succeeded", **body})
    assert (refused.status_code, refused.json()["code"]) == (422, "bad_output")
    assert what in refused.json()["detail"]


def test_pause_and_resume(house: House) -> None:
    run = house.running()
    done(house, run, "pause", reason="the source is down")
    shown = house.shown(run)
    assert shown["state"] == "paused"
    assert (shown["paused"]["by"], shown["paused"]["reason"]) == (
        "operator of analytics",
        "the source is down",
    )
    house.finish("extract", outputs={"rows": 1})
    steps = house.ask("viewer", "GET", PATH.format(run, "explain")).json()["steps"]
    [blocker] = steps[0]["blockers"]
    assert (steps[0]["step"], blocker["code"], blocker["since"]) == (
        "load",
        "paused",
        "2026-03-01T06:00:00.000Z",
    )
    assert "by operator of analytics: the source is down" in blocker["message"]
    refused = ask(house, run, "pause")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_now")
    assert done(house, run, "resume")["load"] == "running"
    assert house.shown(run)["paused"] is None


def test_a_wish_that_came_too_late_is_kept_with_why_it_was_not_done(house: House) -> None:
    run = house.running()
    ask(house, run, "pause")
    ask(house, run, "pause", reason="me too")
    house.lead()
    results = [asked["result"] for asked in house.shown(run)["requests"]]
    assert results == ["only a running run can be paused; this one is paused", "applied"]


def test_a_key_makes_a_wish_harmless_to_repeat(house: House) -> None:
    run = house.running()
    path, headers = PATH.format(run, "pause"), {"Idempotency-Key": "once"}
    first = house.ask("operator", "POST", path, headers=headers)
    assert first.json() == house.ask("operator", "POST", path, headers=headers).json()


def test_who_may_do_it(house: House) -> None:
    run = failed(house)
    body = {"steps": ["extract"]}
    assert ask(house, run, "clear", "viewer", **body).status_code == 403
    assert (
        house.ask("operator", "POST", PATH.format(run, "clear"), team="risk", json=body).status_code
        == 404
    )
    assert ask(house, run, "clear", steps=["nope"]).status_code == 404
    assert ask(house, "nope", "pause").status_code == 404
    assert ask(house, run, "mark", steps=["extract"], state="running").status_code == 422
    house.apply()
    accepted = house.start().json()["id"]
    assert ask(house, accepted, "pause").json()["code"] == "not_now"
