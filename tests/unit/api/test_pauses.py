"""Pipelines, queues and teams paused over HTTP: their steps wait, and it is said why."""

from __future__ import annotations

import pytest

from tests.unit.api.house import SALES, House

PLACES = {
    "pipeline": ("/api/v1/pipelines/analytics/sales", "pipeline analytics/sales"),
    "queue": ("/api/v1/queues/analytics.default", "queue analytics.default"),
    "team": ("/api/v1/teams/analytics", "team analytics"),
}
WHY = {"reason": "the source is down"}


def paused(house: House, place: str) -> str:
    """Pause the place; return a run that waits for it."""
    house.apply()
    house.register()
    answer = house.ask("operator", "POST", f"{place}/pause", json=WHY)
    assert answer.status_code == 200, answer.text
    assert answer.json()["paused"]["reason"] == "the source is down"
    run = str(house.start().json()["id"])
    house.lead()
    return run


@pytest.mark.parametrize("kind", PLACES)
def test_steps_wait_while_it_is_paused_and_go_on_after(house: House, kind: str) -> None:
    place, subject = PLACES[kind]
    run = paused(house, place)
    assert [s["state"] for s in house.shown(run)["steps"]] == ["ready", "pending"]
    assert house.bell.rung == []
    explained = house.ask("viewer", "GET", f"/api/v1/runs/{run}/explain").json()["steps"]
    [blocker] = explained[0]["blockers"]
    assert (blocker["code"], blocker["subject"]) == ("paused", subject)
    assert blocker["since"] == "2026-03-01T06:00:00.000Z"
    said = f"{subject} is paused by operator of analytics: the source is down"
    assert blocker["message"] == said
    nudges = house.nudges
    assert house.ask("operator", "POST", f"{place}/resume").json()["paused"] is None
    assert house.nudges == nudges + 1
    house.lead()
    assert [d.step for d in house.bell.rung] == ["extract"]


def test_what_runs_goes_on(house: House) -> None:
    run = house.running()
    house.ask("operator", "POST", "/api/v1/pipelines/analytics/sales/pause")
    house.finish("extract", outputs={"rows": 1})
    assert [s["state"] for s in house.shown(run)["steps"]] == ["succeeded", "ready"]


def test_another_pipeline_of_the_queue_goes_on_and_a_new_leader_knows_it_too(house: House) -> None:
    run = paused(house, PLACES["pipeline"][0])
    house.apply(SALES.replace("pipeline: sales", "pipeline: other"))
    house.start("other")
    house.lead()
    assert [d.step for d in house.bell.rung] == ["extract"]
    assert house.bell.rung[0].run != run
    house.load()
    house.lead()
    assert len(house.bell.rung) == 1
    house.ask("operator", "POST", f"{PLACES['pipeline'][0]}/resume")
    house.lead()
    assert house.bell.rung[-1].run == run


def test_lists_show_it(house: House) -> None:
    for place, _ in PLACES.values():
        house.apply()
        house.ask("operator", "POST", f"{place}/pause", json=WHY)
    house.register()
    for name in ("pipelines", "queues", "teams"):
        rows = house.ask("viewer", "GET", f"/api/v1/{name}").json()[name]
        assert rows[0]["paused"] == {
            "at": "2026-03-01T06:00:00.000Z",
            "by": "operator of analytics",
            "reason": "the source is down",
        }


@pytest.mark.parametrize("kind", PLACES)
def test_who_may_do_it_and_what_makes_no_sense(house: House, kind: str) -> None:
    place, _ = PLACES[kind]
    house.apply()
    assert house.ask("viewer", "POST", f"{place}/pause").status_code == 403
    assert house.ask("operator", "POST", f"{place}/pause", team="risk").status_code == 404
    nothing = house.ask("operator", "POST", f"{place}/resume")
    assert (nothing.status_code, nothing.json()["code"]) == (409, "nothing_to_do")


def test_what_there_is_not_is_not_paused(house: House) -> None:
    house.apply()
    unknown = "/api/v1/pipelines/analytics/nope/pause"
    assert house.ask("operator", "POST", unknown).status_code == 404
    malformed = house.ask("operator", "POST", "/api/v1/queues/analytics/pause")
    assert (malformed.status_code, malformed.json()["code"]) == (422, "bad_class")
