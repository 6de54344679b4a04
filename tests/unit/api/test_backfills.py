"""Backfills over HTTP: looked at, started once, shown, steered, and kept apart by team."""

from __future__ import annotations

from typing import Any

import pytest

from headway_coordinator.application.backfilling import Backfiller
from headway_coordinator.application.conditions import Conditions
from tests.unit.api.house import SALES, START, House, Wishes

PATH = "/api/v1/backfills"
DAILY = SALES.replace(
    "steps:", "triggers:\n  - schedule: {cron: '0 6 * * *', timezone: Europe/Paris}\nsteps:", 1
)
TWICE = DAILY.replace("steps:", "  - schedule: {every: 1h}\n    name: hourly\nsteps:", 1)
LONG = "no such table: sales é" + "x" * 500 + "\nat line 2"
WEEK = {"pipeline": "sales", "from": "2026-02-01", "until": "2026-02-07"}


@pytest.fixture
def daily(house: House) -> House:
    assert house.apply(DAILY).status_code == 200
    house.register()
    return house


def ask(house: House, body: Any = WEEK, role: Any = "operator", **more: Any) -> Any:
    return house.ask(role, "POST", PATH, json=body, **more)


def fire(house: House) -> None:
    Backfiller(house.storage, Conditions(Wishes()), house.clock).fire(house.lease)
    house.lead()


def started(house: House, **keys: Any) -> str:
    response = ask(house, {**WEEK, **keys})
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def shown(house: House, id: str) -> dict[str, Any]:
    response = house.ask("viewer", "GET", f"{PATH}/{id}")
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def steer(house: House, id: str, verb: str, **body: Any) -> Any:
    return house.ask("operator", "POST", f"{PATH}/{id}/{verb}", json=body)


def test_a_look_starts_nothing(daily: House) -> None:
    response = ask(daily, {**WEEK, "dry_run": True})
    assert response.status_code == 200
    plan = response.json()
    assert (plan["dates"], plan["count"], plan["trigger"]) == (7, 7, "schedule")
    assert plan["first"] == "2026-02-01T05:00:00.000Z"
    assert plan["last"] == "2026-02-07T05:00:00.000Z"
    assert (plan["priority"], plan["max_in_flight"], plan["order"]) == (-100, 3, "oldest")
    assert daily.ask("viewer", "GET", PATH).json() == {"backfills": [], "next": None}


def test_a_backfill_from_its_start_to_its_progress(daily: House) -> None:
    before = daily.trigger_nudges
    id = started(daily, params={"region": "us"}, max_in_flight=2)
    assert daily.trigger_nudges == before + 1
    fire(daily)
    found = shown(daily, id)
    assert (found["state"], found["actor"]) == ("running", "operator of analytics")
    assert found["progress"] == {
        "total": 7,
        "waiting": 5,
        "in_flight": 2,
        "succeeded": 0,
        "failed": 0,
        "cancelled": 0,
        "filtered": 0,
    }
    first = found["dates"][0]
    assert first["logical_date"] == "2026-02-01T05:00:00.000Z"
    run = daily.shown(first["run"])
    assert (run["params"], run["logical_date"]) == ({"region": "us"}, first["logical_date"])
    assert daily.ask("viewer", "GET", PATH).json()["backfills"][0]["id"] == id


def test_a_run_that_ends_wakes_its_lane_and_no_other_does(daily: House) -> None:
    id = started(daily, max_in_flight=1)
    fire(daily)
    daily.finish("extract", outputs={"rows": 1})
    assert daily.wakes == 0
    daily.finish("load")
    assert daily.wakes == 1
    fire(daily)
    assert shown(daily, id)["progress"]["succeeded"] == 1
    assert shown(daily, id)["progress"]["in_flight"] == 1
    steer(daily, id, "cancel")
    daily.lead()
    assert daily.wakes == 2
    daily.start()
    daily.lead()
    daily.finish("extract", outputs={"rows": 1})
    daily.finish("load")
    assert daily.wakes == 2


def test_dates_come_in_pages(daily: House) -> None:
    id = started(daily, order="newest")
    page = daily.ask("viewer", "GET", f"{PATH}/{id}?limit=5").json()
    assert [d["logical_date"][8:10] for d in page["dates"]] == ["07", "06", "05", "04", "03"]
    rest = daily.ask("viewer", "GET", f"{PATH}/{id}?limit=5&cursor={page['next']}").json()
    assert [d["logical_date"][8:10] for d in rest["dates"]] == ["02", "01"]
    assert rest["next"] is None


def test_the_same_key_is_the_same_backfill(daily: House) -> None:
    headers = {"Idempotency-Key": "week-5"}
    first = ask(daily, headers=headers).json()
    again = ask(daily, headers=headers)
    assert (again.json()["id"], again.json()["created"]) == (first["id"], False)
    other = ask(daily, {**WEEK, "order": "newest"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "key_reused")
    assert len(daily.ask("viewer", "GET", PATH).json()["backfills"]) == 1


def test_the_same_key_is_the_same_backfill_after_its_trigger_has_gone(daily: House) -> None:
    headers = {"Idempotency-Key": "week-5"}
    wanted = {**WEEK, "trigger": "schedule"}
    first = ask(daily, wanted, headers=headers).json()
    renamed = DAILY.replace("Europe/Paris}", "Europe/Paris}\n    name: morning", 1)
    assert daily.apply(renamed).status_code == 200
    assert ask(daily, wanted).status_code == 404
    again = ask(daily, wanted, headers=headers)
    assert (again.json()["id"], again.json()["created"]) == (first["id"], False)
    other = ask(daily, {**wanted, "order": "newest"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "key_reused")


def test_pause_resume_cancel_and_retry(daily: House) -> None:
    id = started(daily)
    assert steer(daily, id, "pause").json() == {"id": id, "state": "paused"}
    again = steer(daily, id, "pause")
    assert (again.status_code, again.json()["code"]) == (409, "backfill_state")
    assert steer(daily, id, "resume").json()["state"] == "running"
    assert steer(daily, id, "retry").json()["code"] == "nothing_to_do"
    fire(daily)
    nudges = daily.nudges
    answer = steer(daily, id, "cancel", reason="wrong week").json()
    assert answer == {"id": id, "state": "cancelled", "cancelled_runs": 3}
    assert daily.nudges == nudges + 1
    daily.lead()
    found = shown(daily, id)
    assert (found["reason"], found["progress"]["cancelled"]) == ("wrong week", 7)
    assert steer(daily, id, "retry").status_code == 409
    assert steer(daily, id, "resume").status_code == 409


def test_the_lane_of_a_running_backfill_is_changed(daily: House) -> None:
    id = started(daily, max_in_flight=1)

    def change(lane: int, role: Any = "operator", team: str = "analytics") -> Any:
        body = {"max_in_flight": lane}
        return daily.ask(role, "PATCH", f"{PATH}/{id}", team=team, json=body)

    nudges = daily.trigger_nudges
    answer = change(5)
    assert (answer.status_code, daily.trigger_nudges) == (200, nudges + 1)
    assert answer.json() == {"id": id, "max_in_flight": 5, "before": 1, "changed": True}
    assert change(5).json()["changed"] is False
    fire(daily)
    assert shown(daily, id)["progress"]["in_flight"] == 5
    assert [change(n).status_code for n in (0, 1001)] == [422, 422]
    assert change(2, role="viewer").status_code == 403
    assert change(2, team="others").status_code == 404
    assert shown(daily, id)["max_in_flight"] == 5
    steer(daily, id, "cancel")
    ended = change(2)
    assert (ended.status_code, ended.json()["code"]) == (409, "backfill_state")


def test_nothing_waits_in_a_backfill_that_was_cancelled(daily: House) -> None:
    id = started(daily)
    fire(daily)
    steer(daily, id, "cancel", reason="wrong week")
    daily.lead()
    found = shown(daily, id)
    assert (found["progress"]["waiting"], found["progress"]["cancelled"]) == (0, 7)
    assert {date["state"] for date in found["dates"]} == {"cancelled"}
    assert [date["reason"] for date in found["dates"]] == ["wrong week"] * 3 + [
        "the backfill was cancelled before its turn"
    ] * 4
    [listed] = daily.ask("viewer", "GET", PATH).json()["backfills"]
    assert listed["progress"] == found["progress"]


def test_a_date_that_failed_says_which_step_and_why(daily: House) -> None:
    id = started(daily, until="2026-02-01")
    fire(daily)
    daily.finish("extract", outcome="failed", error={"code": "exit_status", "message": LONG})
    [date] = shown(daily, id)["dates"]
    assert date["state"] == "failed"
    assert date["reason"].startswith("step extract failed: no such table: sales é")
    assert "at line 2" not in date["reason"]
    assert len(date["reason"]) == 300


def test_a_retry_of_what_was_cancelled_by_hand(daily: House) -> None:
    id = started(daily, until="2026-02-02")
    fire(daily)
    for date in shown(daily, id)["dates"]:
        daily.ask("operator", "POST", f"/api/v1/runs/{date['run']}/cancel")
    daily.lead()
    fire(daily)
    assert shown(daily, id)["state"] == "done"
    assert steer(daily, id, "retry").json() == {"id": id, "state": "running", "retried": 2}
    fire(daily)
    assert shown(daily, id)["progress"]["in_flight"] == 2


def test_only_what_is_missing(daily: House) -> None:
    started(daily, until="2026-02-03")
    plan = ask(daily, {**WEEK, "only": "missing", "dry_run": True}).json()
    assert (plan["dates"], plan["count"]) == (7, 4)
    assert plan["first"] == "2026-02-04T05:00:00.000Z"
    nothing = ask(daily, {**WEEK, "until": "2026-02-03", "only": "missing"})
    assert (nothing.status_code, nothing.json()["code"]) == (409, "nothing_to_do")


def test_a_pipeline_without_a_schedule_is_given_one(house: House) -> None:
    house.apply()
    refused = ask(house)
    assert (refused.status_code, refused.json()["code"]) == (422, "schedule_needed")
    assert ask(house, {**WEEK, "every": "1d", "dry_run": True}).json()["dates"] == 7
    cron = {**WEEK, "cron": "0 6 * * 1", "timezone": "Asia/Tokyo", "dry_run": True}
    assert ask(house, cron).json()["first"] == "2026-02-01T21:00:00.000Z"


def test_of_several_schedules_one_is_named(house: House) -> None:
    house.apply(TWICE)
    refused = ask(house)
    assert (refused.status_code, refused.json()["code"]) == (422, "trigger_needed")
    assert "hourly" in refused.json()["detail"]
    assert ask(house, {**WEEK, "trigger": "hourly", "dry_run": True}).json()["dates"] == 168
    assert ask(house, {**WEEK, "trigger": "weekly"}).status_code == 404


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ({"from": "2026-02-30"}, "invalid_request"),
        ({"from": "2026-02-01T06:00:00"}, "invalid_request"),
        ({"from": "2026-02-08"}, "invalid_request"),
        ({"from": "2027-01-01", "until": None}, "invalid_request"),
        ({"from": "2026-02-01T05:00:01Z", "until": "2026-02-01T06:00:00Z"}, "no_dates"),
        ({"every": "1m", "from": "2026-01-01"}, "too_many_dates"),
        ({"every": "1d", "cron": "0 6 * * *"}, "invalid_request"),
        ({"every": "1d", "trigger": "schedule"}, "invalid_request"),
        ({"cron": "0 6 * *"}, "invalid_request"),
        ({"cron": "0 6 * * *", "timezone": "Europe/Pariss"}, "invalid_request"),
        ({"timezone": "Europe/Paris"}, "invalid_request"),
        ({"max_in_flight": 0}, "invalid_request"),
        ({"priority": 1001}, "invalid_request"),
        ({"order": "random"}, "invalid_request"),
        ({"params": {"no": "such"}}, "invalid_params"),
    ],
)
def test_what_makes_no_sense_is_refused(daily: House, keys: dict[str, Any], code: str) -> None:
    for dry_run in (True, False):
        response = ask(daily, {**WEEK, **keys, "dry_run": dry_run})
        assert (response.status_code, response.json()["code"]) == (422, code), response.text
    assert daily.ask("viewer", "GET", PATH).json()["backfills"] == []


def test_dates_that_are_yet_to_come_are_left_to_the_schedule(daily: House) -> None:
    plan = ask(daily, {**WEEK, "until": "2030-01-01", "dry_run": True}).json()
    assert plan["until"] == START.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert plan["last"] == "2026-03-01T05:00:00.000Z"


def test_teams_and_roles(daily: House) -> None:
    id = started(daily)
    assert ask(daily, role="viewer").status_code == 403
    assert ask(daily, role="operator", team="others").status_code == 404
    for method, path in [("GET", ""), ("POST", "/pause"), ("POST", "/cancel"), ("POST", "/retry")]:
        assert daily.ask("operator", method, f"{PATH}/{id}{path}", team="others").status_code == 404
    assert daily.ask("viewer", "POST", f"{PATH}/{id}/pause").status_code == 403
    assert daily.ask("viewer", "GET", PATH, team="others").json()["backfills"] == []
    assert daily.ask("viewer", "GET", f"{PATH}?team=others").json()["backfills"] == []
    assert shown(daily, id)["state"] == "running"
