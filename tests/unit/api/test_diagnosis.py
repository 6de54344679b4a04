"""The diagnosis over HTTP: who may see what of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

import headway
from headway.findings import fine
from headway_coordinator.api.app import create_app
from tests.unit.api.house import House

PATH = "/api/v1/diagnosis"


def abandoned(house: House) -> None:
    """A step is dispatched, and its only worker is heard of no more."""
    house.running()
    house.clock.advance(timedelta(minutes=10))


def findings(shown: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["check"]: row for row in shown["findings"]}


def test_an_administrator_sees_all_of_it(house: House) -> None:
    abandoned(house)
    shown = house.ask("admin", "GET", PATH, team=None).json()
    assert shown["version"] == headway.__version__
    assert shown["at"].endswith("Z")
    assert len(shown["key"]) == 8
    found = findings(shown)
    assert found["leader"]["status"] == "fine"
    assert found["queues.served"]["status"] == "wrong"
    assert found["queues.served"]["subject"] == "analytics.default"
    # This process was not given the servers to look at, and says so.
    assert {row["status"] for row in shown["servers"]} == {"unknown"}


def test_what_examines_the_servers_is_asked(house: House) -> None:
    services = replace(house.services, examine=lambda: [fine("broker.reachable", "it answers")])
    client = type(house.client)(create_app(services))
    headers = {"Authorization": f"Bearer {house.token('viewer', None)}"}
    shown = client.get(PATH, headers=headers).json()
    assert [row["message"] for row in shown["servers"]] == ["it answers"]
    assert shown["key"] is None
    client.close()


@pytest.mark.parametrize("role", ["viewer", "admin"])
def test_a_team_sees_neither_servers_nor_key_nor_other_teams(house: House, role: Any) -> None:
    abandoned(house)
    own = house.ask(role, "GET", PATH).json()
    other = house.ask(role, "GET", PATH, team="risk").json()
    assert findings(own)["queues.served"]["status"] == "wrong"
    assert findings(other)["queues.served"]["status"] == "fine"
    assert "analytics" not in str(other)
    for shown in (own, other):
        assert shown["servers"] is None
        assert shown["key"] is None


def test_a_worker_may_not_ask(house: House) -> None:
    assert house.ask("worker", "GET", PATH).status_code == 403
    assert house.client.get(PATH).status_code == 401


def test_a_leader_that_is_gone(house: House) -> None:
    house.running()
    house.clock.advance(timedelta(days=2))
    found = findings(house.ask("viewer", "GET", PATH).json())
    assert found["leader"]["status"] == "wrong"
    assert "ran out" in found["leader"]["message"]


def test_a_worker_that_does_not_hear_its_bell(house: House) -> None:
    house.running()
    assert findings(house.ask("viewer", "GET", PATH).json())["workers.hearing"]["status"] == "fine"
    house.clock.advance(timedelta(minutes=10))
    house.register()
    found = findings(house.ask("viewer", "GET", PATH).json())["workers.hearing"]
    assert (found["status"], found["subject"]) == ("wrong", "w1")
    assert "analytics.default wait unclaimed for 10 min" in found["message"]
