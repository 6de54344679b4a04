"""Steps with items, cleared, marked and paused over HTTP, on stored rows."""

from __future__ import annotations

from typing import Any

from tests.unit.api.house import House

ITEMS = """\
headway: 1
pipeline: items
team: analytics
owner: items@example.com
steps:
  each:
    foreach: [a, b, c]
    max_parallel: 2
    env: {ITEM: "${{ item }}"}
    run: echo "$ITEM"
    outputs: {n: int}
  after: {needs: [each], run: echo after}
"""


def ask(house: House, run: str, verb: str, **body: Any) -> Any:
    return house.ask("operator", "POST", f"/api/v1/runs/{run}/{verb}", json=body)


def done(house: House, run: str, verb: str, **body: Any) -> dict[str, str]:
    """Ask, let the leader apply it, let a new leader read the rows; return the steps' states."""
    response = ask(house, run, verb, **body)
    assert response.status_code == 202, response.text
    house.lead()
    house.load()
    return {step["step"]: step["state"] for step in house.shown(run)["steps"]}


def test_an_item_cannot_be_cleared_or_marked_alone(house: House) -> None:
    run = house.running(ITEMS)
    for verb, more in (("clear", {}), ("mark", {"state": "failed"})):
        refused = ask(house, run, verb, steps=["each[1]"], **more)
        assert (refused.status_code, refused.json()["code"]) == (409, "not_now")
        assert "each[1] is an item of each" in refused.json()["detail"]
        assert "runs retry" in refused.json()["hint"]
        unknown = ask(house, run, verb, steps=["after[1]"], **more)
        assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


def test_clear_stops_the_items_that_run(house: House) -> None:
    run = house.running(ITEMS)
    refused = ask(house, run, "clear", steps=["each"])
    assert (refused.status_code, refused.json()["code"]) == (409, "not_now")
    preview = ask(house, run, "clear", steps=["each"], dry_run=True).json()["clear"]
    assert preview == [{"step": "each", "state": "running", "running": True}]
    states = done(house, run, "clear", steps=["each"], force=True)
    assert states == {
        "each": "running",
        "each[0]": "running",
        "each[1]": "running",
        "after": "pending",
    }
    tries = {s["step"]: [a["state"] for a in s["attempts"]] for s in house.shown(run)["steps"]}
    assert tries["each[0]"] == ["cancelled", "dispatched"]
    for key in ("each[0]", "each[1]", "each[2]"):
        house.finish(key, outputs={"n": 1})
    house.finish("after")
    assert house.shown(run)["state"] == "succeeded"


def test_a_marked_step_has_the_outputs_of_its_items(house: House) -> None:
    run = house.running(ITEMS)
    house.finish("each[0]", outputs={"n": 1})
    house.finish("each[1]", outcome="failed")
    house.finish("each[2]", outputs={"n": 3})
    assert house.shown(run)["state"] == "failed"
    unfit = ask(house, run, "mark", steps=["each"], state="succeeded", outputs={"n": 1})
    assert (unfit.status_code, unfit.json()["code"]) == (422, "bad_output")
    assert "each runs for each item" in unfit.json()["detail"]
    assert done(house, run, "mark", steps=["each"], state="succeeded")["after"] == "running"
    marked = house.shown(run)["steps"][0]
    assert (marked["outputs"], marked["items"]) == ([{"n": 1}, {}, {"n": 3}], 3)
    house.finish("after")
    assert house.shown(run)["state"] == "succeeded"


def test_a_paused_run_starts_no_item(house: House) -> None:
    run = house.running(ITEMS)
    done(house, run, "pause", reason="the source is broken")
    house.finish("each[0]", outputs={"n": 0})
    assert "each[2]" not in {d.step for d in house.bell.rung}
    house.finish("each[1]", outputs={"n": 1})
    assert house.shown(run)["steps"][0]["state"] == "running"
    assert done(house, run, "resume")["each[2]"] == "running"
    done(house, run, "pause")
    house.finish("each[2]", outputs={"n": 2})
    each = house.shown(run)["steps"][0]
    assert (each["state"], each["outputs"]) == ("succeeded", [{"n": 0}, {"n": 1}, {"n": 2}])
    assert done(house, run, "resume")["after"] == "running"


def test_why_items_wait(house: House) -> None:
    run = house.running(ITEMS)
    house.finish("each[0]", outcome="failed")
    house.finish("each[1]", outcome="failed")
    ask(house, run, "retry")
    house.ask("operator", "POST", "/api/v1/pipelines/analytics/items/pause", json={})
    house.lead()
    response = house.ask("viewer", "GET", f"/api/v1/runs/{run}/explain")
    assert response.status_code == 200, response.text
    found = {s["step"]: [b["code"] for b in s["blockers"]] for s in response.json()["steps"]}
    assert found["after"] == ["upstream"]
    assert found["each[0]"] == found["each[1]"] == ["paused"]
