"""A run's start past the framework: for the caller there is no difference."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from headway_coordinator.access.roles import Action
from headway_coordinator.api.app import App
from headway_coordinator.api.start_call import START_PATH, StartCall
from tests.unit.api.house import House, dumps

PLAIN = {"Content-Type": "application/json"}
GOOD = dumps({"pipeline": "sales"})
# Role, headers, body: what the framework would answer by itself.
REQUESTS: dict[str, tuple[Any, dict[str, str], bytes]] = {
    "plain": ("operator", PLAIN, GOOD),
    "with params": ("operator", PLAIN, dumps({"pipeline": "sales", "params": {"region": "us"}})),
    "with its team": ("operator", PLAIN, dumps({"pipeline": "sales", "team": "analytics"})),
    "dated": ("operator", PLAIN, b'{"pipeline":"sales","logical_date":"2026-02-01T00:00:00Z"}'),
    "with a key": ("operator", PLAIN | {"Idempotency-Key": "k"}, GOOD),
    "with a key used otherwise": (
        "operator",
        PLAIN | {"Idempotency-Key": "used"},
        dumps({"pipeline": "sales", "params": {"region": "us"}}),
    ),
    "with a bad key": ("operator", PLAIN | {"Idempotency-Key": "a b"}, GOOD),
    "with a long key": ("operator", PLAIN | {"Idempotency-Key": "k" * 201}, GOOD),
    "with an empty key": ("operator", PLAIN | {"Idempotency-Key": ""}, GOOD),
    "of another content type": ("operator", {"Content-Type": "text/plain"}, GOOD),
    "of a kind of JSON": ("operator", {"Content-Type": "application/x+json"}, GOOD),
    "with a charset": ("operator", {"Content-Type": "application/json; charset=utf-8"}, GOOD),
    "without a content type": ("operator", {}, GOOD),
    "without a body": ("operator", PLAIN, b""),
    "not JSON": ("operator", PLAIN, b"{"),
    "not finite": ("operator", PLAIN, b'{"pipeline":"sales","params":{"region":NaN}}'),
    "half a surrogate pair": ("operator", PLAIN, b'{"pipeline":"\\ud800"}'),
    "with NUL": ("operator", PLAIN, b'{"pipeline":"sales","params":{"region":"\\u0000"}}'),
    "a list": ("operator", PLAIN, b"[]"),
    "an unknown field": ("operator", PLAIN, dumps({"pipeline": "sales", "x": 1})),
    "no name": ("operator", PLAIN, dumps({"pipeline": "no name"})),
    "an unknown param": ("operator", PLAIN, dumps({"pipeline": "sales", "params": {"x": 1}})),
    "an unknown pipeline": ("operator", PLAIN, dumps({"pipeline": "nope"})),
    "another team's": ("operator", PLAIN, dumps({"pipeline": "sales", "team": "risk"})),
    "long": ("operator", PLAIN, b" " * 20_000 + GOOD),
    "too long": ("operator", PLAIN, b" " * 2_000_000 + GOOD),
    "by a viewer": ("viewer", PLAIN, GOOD),
    "by a viewer, and not JSON": ("viewer", PLAIN, b"{"),
    "by a worker": ("worker", PLAIN, GOOD),
}


class Elsewhere:
    """Stands where the framework would, and keeps the bodies that came to it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.routes: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.bodies.append(await Request(scope, receive).body())
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def told(answer: Any) -> tuple[Any, ...]:
    body = answer.json()
    body.pop("id", None)
    return answer.status_code, body, dict(answer.headers) | {"content-length": ""}


@pytest.mark.parametrize("kind", REQUESTS)
def test_the_answer_is_the_framework_s(house: House, kind: str) -> None:
    role, headers, body = REQUESTS[kind]
    house.apply()
    house.start(key="used")
    everything = {**headers, "Authorization": f"Bearer {house.token(role)}"}
    slow = App(house.app._framework, {}, house.services.identities)
    answers = [
        TestClient(app, raise_server_exceptions=False).post(
            START_PATH, content=body, headers={**everything, **fresh}
        )
        for app, fresh in (
            (house.app, {}),
            (slow, {"Idempotency-Key": "k2"} if kind == "with a key" else {}),
        )
    ]
    first, second = map(told, answers)
    assert first == second


def test_a_plain_start_needs_nothing_of_the_framework(house: House) -> None:
    house.apply()
    elsewhere = Elsewhere()
    client = around(house, elsewhere)
    first = client.post(START_PATH, json={"pipeline": "sales"}, headers={"Idempotency-Key": "a"})
    again = client.post(START_PATH, json={"pipeline": "sales"}, headers={"Idempotency-Key": "a"})
    other = client.post(START_PATH, json={"pipeline": "nope"})
    assert [r.status_code for r in (first, again, other)] == [202, 202, 404]
    assert (first.json()["id"], first.json()["created"]) == (again.json()["id"], True)
    assert other.json()["code"] == "not_found"
    assert elsewhere.bodies == []
    assert house.nudges == 2


@pytest.mark.parametrize("body", [b"{", b'{"pipeline":1}', b" " * 20_000, b""])
def test_what_is_not_in_order_goes_to_the_framework_whole(house: House, body: bytes) -> None:
    elsewhere = Elsewhere()
    answer = around(house, elsewhere).post(START_PATH, content=body, headers=PLAIN)
    assert (answer.status_code, elsewhere.bodies) == (418, [body])


def test_a_defect_is_told_as_everywhere(house: House) -> None:
    house.apply()
    house.storage.inbox.add = None  # type: ignore[method-assign, assignment]
    answer = house.start()
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")


def test_it_demands_what_its_route_does() -> None:
    assert StartCall.action is Action.START_RUN


def around(house: House, elsewhere: Elsewhere) -> TestClient:
    """Return a client whose starts have another framework behind them."""
    calls = {START_PATH: StartCall(house.services, elsewhere)}
    app = App(elsewhere, calls, house.services.identities)  # type: ignore[arg-type]
    return TestClient(app, headers={"Authorization": f"Bearer {house.token('operator')}"})
