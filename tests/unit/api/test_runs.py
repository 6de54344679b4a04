"""Starting, looking at, cancelling and retrying runs over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api.house import SALES, House


def test_a_run_goes_from_request_to_its_end(house: House) -> None:
    run = house.running(params={"region": "us"})
    house.finish("extract", outputs={"rows": 3})
    house.finish("load")

    shown = house.shown(run)

    assert shown["state"] == "succeeded"
    assert shown["params"] == {"region": "us"}
    assert shown["created_at"] == "2026-03-01T06:00:00.000Z"
    extract, load = shown["steps"]
    assert (extract["step"], extract["state"], extract["outputs"]) == (
        "extract",
        "succeeded",
        {"rows": 3},
    )
    assert [a["no"] for a in load["attempts"]] == [1]


def test_accepting_is_answered_before_the_leader_has_seen_it(house: House) -> None:
    house.apply()
    response = house.start()

    body = response.json()
    assert response.status_code == 202
    assert (body["pipeline"], body["state"], body["created"]) == ("sales", "queued", True)
    assert house.nudges == 1
    assert house.shown(body["id"])["steps"] == []
    listed = house.ask("viewer", "GET", "/api/v1/runs").json()
    assert [r["id"] for r in listed["runs"]] == [body["id"]]


def test_the_same_key_gives_the_same_run(house: House) -> None:
    house.apply()
    first = house.start(key="k1", params={"region": "eu"}).json()
    house.lead()
    again = house.start(key="k1", params={"region": "eu"}).json()

    assert again["id"] == first["id"]
    assert (first["created"], again["created"]) == (True, False)
    assert len(house.ask("viewer", "GET", "/api/v1/runs").json()["runs"]) == 1


def test_the_same_key_with_another_request_is_a_conflict(house: House) -> None:
    house.apply()
    house.start(key="k1", params={"region": "eu"})
    other = house.start(key="k1", params={"region": "us"})

    assert (other.status_code, other.json()["code"]) == (409, "key_reused")


def test_params_that_do_not_fit_are_told_one_by_one(house: House) -> None:
    house.apply()
    response = house.start(params={"regoin": "eu"})

    assert response.status_code == 422
    [problem] = response.json()["problems"]
    assert problem["code"] == "unknown_param"


def test_two_teams_may_have_a_pipeline_of_one_name(house: House) -> None:
    house.apply()
    house.apply(SALES.replace("team: analytics", "team: risk"))
    body = {"pipeline": "sales"}

    unnamed = house.ask("operator", "POST", "/api/v1/runs", team=None, json=body)
    own = house.ask("operator", "POST", "/api/v1/runs", team="risk", json=body)

    assert (unnamed.status_code, unnamed.json()["code"]) == (422, "team_needed")
    assert "--team" in unnamed.json()["hint"]
    assert '"team"' in unnamed.json()["hint"]
    assert own.status_code == 202
    run = own.json()["id"]
    assert house.ask("viewer", "GET", f"/api/v1/runs/{run}", team="risk").json()["team"] == "risk"


def test_a_cancelled_run_can_be_retried_but_not_cancelled_again(house: House) -> None:
    run = house.running()
    cancelled = house.ask("operator", "POST", f"/api/v1/runs/{run}/cancel", json={"reason": "no"})
    house.lead()

    assert cancelled.status_code == 202
    assert cancelled.json()["id"] == run
    assert isinstance(cancelled.json()["inbox"], int)
    assert house.shown(run)["state"] == "cancelled"
    again = house.ask("operator", "POST", f"/api/v1/runs/{run}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "run_ended")

    assert house.ask("operator", "POST", f"/api/v1/runs/{run}/retry").status_code == 202
    house.lead()
    assert house.shown(run)["state"] == "running"
    retried = house.ask("operator", "POST", f"/api/v1/runs/{run}/retry")
    assert (retried.status_code, retried.json()["code"]) == (409, "not_retryable")


def test_a_key_makes_a_cancel_harmless_to_repeat(house: House) -> None:
    run = house.running()
    path, headers = f"/api/v1/runs/{run}/cancel", {"Idempotency-Key": "once"}
    first = house.ask("operator", "POST", path, headers=headers)
    second = house.ask("operator", "POST", path, headers=headers)
    assert first.json() == second.json()


def test_a_cancel_by_force_leaves_finally_out(house: House) -> None:
    text = SALES + "finally:\n  cleanup: {run: rm -rf scratch}\n"
    run = house.running(text)
    house.register()
    won = house.won("extract")
    path = f"/api/v1/runs/{run}/cancel"
    both = house.ask("operator", "POST", path, json={"force": True, "grace": 5})
    assert (both.status_code, both.json()["code"]) == (422, "invalid_request")
    for wrong in ["an hour", -1, 3601, "2h", True]:
        assert house.ask("operator", "POST", path, json={"grace": wrong}).status_code == 422

    def beat() -> Any:
        return house.work(
            "heartbeat",
            {"worker": "w1", "boot": "b1", "slots": 2, "slots_free": 1, "draining": False,
             "running": [{"attempt": won.dispatch.attempt, "fence": 1}], "finished": []},
        ).json()  # fmt: skip

    assert house.ask("operator", "POST", path, json={"grace": "2m"}).status_code == 202
    house.lead()
    assert (beat()["cancel"], beat()["grace_ms"]) == (
        [won.dispatch.attempt],
        {won.dispatch.attempt: 120_000},
    )
    assert house.ask("operator", "POST", path, json={"force": True}).status_code == 202
    house.lead()
    assert beat()["grace_ms"] == {won.dispatch.attempt: 0}
    states = {step["step"]: step["state"] for step in house.shown(run)["steps"]}
    assert states == {"extract": "running", "load": "cancelled", "cleanup": "cancelled"}


def test_runs_are_listed_by_when_they_were_made(house: House) -> None:
    house.apply()
    first = house.start().json()["id"]
    house.lead()

    def listed(**query: str) -> list[str]:
        answer = house.ask("viewer", "GET", "/api/v1/runs", params=query)
        return [row["id"] for row in answer.json()["runs"]]

    assert listed(since="2026-03-01T06:00:00Z") == [first]
    assert listed(since="2026-03-01T07:00:00.001+01:00") == []
    assert listed(until="2026-03-01T06:00:00Z") == []
    assert listed(until="2026-03-01T06:00:00.001Z", state="running") == [first]
    wrong = house.ask("viewer", "GET", "/api/v1/runs", params={"since": "yesterday"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_request")


def test_explain_says_what_a_step_waits_for(house: House) -> None:
    run = house.running()
    steps = house.ask("viewer", "GET", f"/api/v1/runs/{run}/explain").json()["steps"]
    load = next(row for row in steps if row["step"] == "load")
    assert [(b["code"], b["subject"]) for b in load["blockers"]] == [("upstream", "extract")]


def test_explain_says_that_the_broker_is_away_of_what_waits_for_it(house: House) -> None:
    run = house.running()
    house.broker_is_up = False
    steps = house.ask("viewer", "GET", f"/api/v1/runs/{run}/explain").json()["steps"]
    codes = {row["step"]: [b["code"] for b in row["blockers"]] for row in steps}
    assert codes == {"extract": ["broker_down", "no_slot"], "load": ["upstream"]}


def test_the_events_of_an_ended_run_are_told_once_and_end(house: House) -> None:
    run = house.running()
    house.finish("extract", outputs={"rows": 1})
    house.finish("load")
    path = f"/api/v1/runs/{run}/events"

    body = house.ask("viewer", "GET", path).text

    assert body.count("event: end") == 1
    assert '"to":"succeeded"' in body
    ids = [int(line[4:]) for line in body.splitlines() if line.startswith("id: ")]
    assert ids == sorted(set(ids))
    rest = house.ask("viewer", "GET", path, headers={"Last-Event-ID": str(ids[-1])}).text
    assert "event: change" not in rest
    assert "event: end" in rest


def test_lists_go_on_behind_a_cursor(house: House) -> None:
    house.apply()
    made = [house.start().json()["id"] for _ in range(3)]
    first = house.ask("viewer", "GET", "/api/v1/runs", params={"limit": 2}).json()
    more = {"limit": 2, "cursor": first["next"]}
    second = house.ask("viewer", "GET", "/api/v1/runs", params=more).json()

    found = [r["id"] for r in [*first["runs"], *second["runs"]]]
    assert sorted(found) == sorted(made)
    assert second["next"] is None


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"limit": 0}, "invalid_request"),
        ({"limit": 501}, "invalid_request"),
        ({"state": "wandering"}, "bad_state"),
        ({"cursor": "!!"}, "invalid_cursor"),
    ],
)
def test_what_a_list_cannot_take_is_refused(
    house: House, params: dict[str, str], code: str
) -> None:
    response = house.ask("viewer", "GET", "/api/v1/runs", params=params)
    assert (response.status_code, response.json()["code"]) == (422, code)


def test_runs_are_found_by_state_and_pipeline(house: House) -> None:
    run = house.running()
    for params, found in [
        ({"state": "running,queued"}, [run]),
        ({"state": "failed"}, []),
        ({"pipeline": "sales"}, [run]),
        ({"pipeline": "other"}, []),
        ({"team": "risk"}, []),
    ]:
        rows = house.ask("viewer", "GET", "/api/v1/runs", params=params).json()["runs"]
        assert [r["id"] for r in rows] == found, params


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"pipeline": "sales", "extra": 1},
        {"pipeline": "../sales"},
        {"pipeline": "sales", "params": []},
        {"pipeline": "sales", "params": {"region": "a\0b"}},
        {"pipeline": "sales", "params": {"region": 10**30}},
        {"pipeline": "sales", "logical_date": "2026-03-01T06:00:00"},
        {"pipeline": "sales", "logical_date": "0001-01-01T00:00:00+14:00"},
    ],
)
def test_a_request_of_the_wrong_shape_is_refused(house: House, body: object) -> None:
    house.apply()
    import json

    content = json.dumps(body)
    response = house.ask("operator", "POST", "/api/v1/runs", content=content)
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert "a\0b" not in response.text


def set_aside(house: House) -> str:
    run = house.running()
    with house.storage.advancing(house.lease) as tx:
        tx.quarantine(run, "an illegal move")
    return run


def test_a_run_that_is_set_aside_says_so_wherever_it_is_shown(house: House) -> None:
    run = set_aside(house)
    [row] = house.ask("viewer", "GET", "/api/v1/runs").json()["runs"]
    assert (row["id"], row["quarantine"]) == (run, "an illegal move")
    assert house.shown(run)["quarantine"] == "an illegal move"

    steps = house.ask("viewer", "GET", f"/api/v1/runs/{run}/explain").json()["steps"]

    assert [row["step"] for row in steps] == ["extract", "load"]
    for row in steps:
        [blocker] = row["blockers"]
        assert (blocker["code"], blocker["subject"]) == ("quarantined", run)
        assert "an illegal move" in blocker["message"]


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_a_run_that_is_set_aside_takes_no_wishes(house: House, verb: str) -> None:
    run = set_aside(house)
    response = house.ask("operator", "POST", f"/api/v1/runs/{run}/{verb}")
    assert (response.status_code, response.json()["code"]) == (409, "quarantined")
    assert "an illegal move" in response.json()["detail"]
    assert "start a new run" in response.json()["hint"]
    assert house.storage.inbox.pending() == []


def test_other_runs_are_not_set_aside(house: House) -> None:
    house.apply()
    waiting = house.start().json()["id"]
    [row] = house.ask("viewer", "GET", "/api/v1/runs").json()["runs"]
    assert (row["id"], row["state"], row["quarantine"]) == (waiting, "queued", None)
    house.lead()
    [row] = house.ask("viewer", "GET", "/api/v1/runs").json()["runs"]
    assert (row["state"], row["quarantine"]) == ("running", None)
