"""Notifications over HTTP: a run's end leaves them, and people see and repeat them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from headway.plan.digest import digest_of
from headway.spec import load
from headway_coordinator.application.notify_ports import Tried
from tests.unit.api.house import SALES, House

BASE = "/api/v1/notifications"
NOTIFY = [
    {"on": ["failed", "recovered"], "webhook": "https://ann:pass@example.com/hook?key=1"},
    {"on": ["succeeded"], "webhook": "secret://hook"},
    {"on": ["cancelled", "timed_out"], "webhook": "https://example.com/"},
]


@pytest.fixture
def telling(house: House) -> House:
    """A pipeline of one step that tells of its runs' ends."""
    text = SALES.replace("  load: {needs: [extract], run: echo load}\n", "")
    spec = load(text, "pipeline.yaml").spec
    assert spec is not None
    canonical = {**spec.canonical, "notify": NOTIFY}
    house.storage.access.add_team("analytics", "test")
    house.storage.definitions.put(
        canonical=canonical, digest=digest_of(canonical), source=text, actor="ann"
    )
    house.register()
    return house


def ended(house: House, outcome: str) -> str:
    """Start a run and let its step end so."""
    house.clock.advance(timedelta(seconds=1))
    run = str(house.start("sales").json()["id"])
    house.lead()
    outputs = {"rows": 1} if outcome == "succeeded" else {}
    house.finish("extract", outcome=outcome, outputs=outputs)
    return run


def listed(house: House, **query: str) -> list[dict[str, Any]]:
    response = house.ask("viewer", "GET", BASE, params=query)
    assert response.status_code == 200, response.text
    rows: list[dict[str, Any]] = response.json()["notifications"]
    return rows


def test_an_end_is_told_of_to_whom_it_concerns(telling: House) -> None:
    first = ended(telling, "succeeded")
    second = ended(telling, "failed")
    third = ended(telling, "succeeded")
    rows = sorted((row["run"], row["event"], row["to"]) for row in listed(telling))
    assert rows == sorted(
        [
            (first, "succeeded", "secret://hook"),
            (second, "failed", "https://example.com/…"),
            (third, "recovered", "https://example.com/…"),
            (third, "succeeded", "secret://hook"),
        ]
    )


def test_what_is_sent_is_shown_and_nothing_secret_is(telling: House) -> None:
    run = ended(telling, "failed")
    [row] = listed(telling, state="waiting", pipeline="sales")
    shown = telling.ask("viewer", "GET", f"{BASE}/{row['id']}")
    body = shown.json()["body"]
    assert body["owner"] == "sales@example.com"
    assert body["runbook"] == "https://wiki.example.com/sales"
    assert (body["event"], body["state"], body["run"]) == ("failed", "failed", run)
    assert (body["team"], body["pipeline"], body["link"]) == ("analytics", "sales", f"/runs/{run}")
    assert body["finished_at"] is not None
    said = shown.text + str(row)
    assert not any(word in said for word in ("pass", "key=1", "/hook"))


def test_one_that_is_dead_is_sent_again_when_somebody_asks(telling: House) -> None:
    ended(telling, "failed")
    [row] = listed(telling)
    path = f"{BASE}/{row['id']}/retry"
    box = telling.storage.notifications
    assert box.settle(row["id"], 0, Tried("gone"))
    assert [r["problem"] for r in listed(telling, state="dead")] == ["gone"]
    assert telling.ask("viewer", "POST", path).status_code == 403
    again = telling.ask("operator", "POST", path)
    assert (again.status_code, again.json()["state"]) == (202, "waiting")
    assert telling.notification_nudges == 1
    assert box.settle(row["id"], 0, Tried())
    late = telling.ask("operator", "POST", path)
    assert (late.status_code, late.json()["code"]) == (409, "nothing_to_do")


def test_other_teams_see_nothing_of_them(telling: House) -> None:
    ended(telling, "failed")
    [row] = listed(telling)
    foreign = telling.ask("operator", "GET", BASE, team="others")
    assert foreign.json() == {"notifications": [], "next": None}
    asked = telling.ask("operator", "GET", BASE, team="others", params={"team": "analytics"})
    assert asked.json()["notifications"] == []
    for method, path in (("GET", row["id"]), ("POST", f"{row['id']}/retry")):
        assert telling.ask("operator", method, f"{BASE}/{path}", team="others").status_code == 404


def test_a_pipeline_that_tells_nobody_leaves_nothing(house: House) -> None:
    house.running()
    house.finish("extract", outcome="failed")
    assert listed(house) == []
