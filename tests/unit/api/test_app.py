"""The way of a request: the gate, then a worker's call or the framework, never past the gate."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.testclient import TestClient

from headway_coordinator.api.app import App, create_app
from tests.unit.api.house import House, dumps

BEAT = {"worker": "w1", "boot": "b1", "slots": 4, "slots_free": 3}
CALLS = ["register", "claims", "heartbeat", "completions", "logs"]


class Elsewhere:
    """Stands where the framework would, and keeps what came to it."""

    def __init__(self) -> None:
        self.paths: list[tuple[str, str]] = []
        self.routes: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.paths.append((scope["method"], scope["path"]))
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def around(house: House, elsewhere: Elsewhere) -> TestClient:
    """Return a client of the house's app with another framework in it."""
    app = App(elsewhere, house.app.calls, house.services.identities)  # type: ignore[arg-type]
    return TestClient(app, headers={"Authorization": f"Bearer {house.token('worker')}"})


def test_a_worker_s_call_needs_nothing_of_the_framework(house: House) -> None:
    house.running()
    elsewhere = Elsewhere()
    client = around(house, elsewhere)
    assert client.post("/worker/v1/heartbeat", content=dumps(BEAT)).status_code == 200
    assert client.post("/worker/v1/heartbeat", content=b"{}").json()["code"] == "invalid_message"
    assert elsewhere.paths == []


def test_other_methods_and_spellings_of_a_call_are_the_framework_s(house: House) -> None:
    elsewhere = Elsewhere()
    client = around(house, elsewhere)
    client.get("/worker/v1/claims")
    client.post("/worker/v1/claims/")
    assert elsewhere.paths == [("GET", "/worker/v1/claims"), ("POST", "/worker/v1/claims/")]
    assert house.ask("worker", "GET", "/worker/v1/claims").status_code == 405


@pytest.mark.parametrize("call", CALLS)
def test_a_call_stands_behind_the_gate(house: House, call: str) -> None:
    path = f"/worker/v1/{call}"
    assert house.client.post(path, content=b"{}").status_code == 401
    assert house.ask("viewer", "POST", path, content=b"{}").status_code == 403
    assert house.ask("worker", "POST", path, content=b"{}").status_code == 422
    large = {"Content-Length": str(9 * 1024 * 1024)}
    refused = house.ask("worker", "POST", path, headers=large, content=b"{}")
    assert (refused.status_code, refused.headers["connection"]) == (413, "close")


def test_a_call_s_answers_carry_the_safety_headers(house: House) -> None:
    house.running()
    well = house.work("heartbeat", BEAT)
    refused = house.work("heartbeat", {})
    house.storage.close()
    house.storage.workers.heartbeat = None  # type: ignore[method-assign, assignment]
    broken = house.work("heartbeat", BEAT)
    assert [r.status_code for r in (well, refused, broken)] == [200, 422, 500]
    assert broken.json()["code"] == "internal_error"
    for response in (well, refused, broken):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["content-length"] == str(len(response.content))


def test_a_call_whose_body_never_ends_is_not_carried_out(house: House) -> None:
    house.running()
    [dispatch] = house.bell.rung
    said = dispatch.model_dump(include={"attempt", "fence", "dispatch_no", "queue"})
    body = dumps({"worker": "w1", "boot": "b1", "claims": [said]})
    coming = [
        {"type": "http.request", "body": body, "more_body": True},
        {"type": "http.disconnect"},
    ]
    token = house.token("worker")
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/worker/v1/claims",
        "headers": [(b"authorization", f"Bearer {token}".encode())],
        "state": {},
    }
    sent: list[Any] = []

    async def receive() -> Any:
        return coming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(create_app(house.services)(scope, receive, send))

    assert sent == []
    holds = house.storage.workers.holders([dispatch.attempt], team=None)
    assert holds[dispatch.attempt].state == "dispatched"


def test_an_error_of_the_framework_s_carries_the_safety_headers(house: House) -> None:
    house.apply()
    house.storage.queries.runs = None  # type: ignore[method-assign, assignment]
    response = house.ask("viewer", "GET", "/api/v1/runs")
    assert response.status_code == 500
    assert response.headers["x-content-type-options"] == "nosniff"
