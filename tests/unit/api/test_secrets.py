"""Secrets by HTTP: who may set and see them, and who is told their values."""

from __future__ import annotations

from typing import Any

import pytest

from headway_coordinator.access.cipher import Cipher
from headway_coordinator.application.secrets import Secrets
from tests.unit.api.house import KEY, SALES, House

VALUE = "s3cr3t-value"
STEPS = """\
headway: 1
pipeline: shop
team: analytics
owner: shop@example.com
params: {word: {type: string, default: x}}
steps:
  get:
    run: echo
    env: {TOKEN: "secret://token", WORD: "${{ params.word }}", BOTH: "${{ params.word }} secret://token"}
    retry: 3
"""


def put(house: House, name: str = "token", value: Any = VALUE, **more: Any) -> Any:
    role, team = more.pop("role", "author"), more.pop("by", "analytics")
    body = {"value": value, **more}
    return house.ask(role, "PUT", f"/api/v1/secrets/{name}", team=team, json=body)


def test_a_secret_is_set_listed_and_removed_and_never_shown(house: House) -> None:
    first, same, second = put(house), put(house), put(house, value="another value")
    assert first.json() == {"name": "token", "team": "analytics", "version": 1, "changed": True}
    assert same.json() == {"name": "token", "team": "analytics", "version": 1, "changed": False}
    assert second.json()["version"] == 2
    [row] = house.ask("operator", "GET", "/api/v1/secrets").json()["secrets"]
    assert row == {
        "name": "token",
        "team": "analytics",
        "version": 2,
        "changed_at": "2026-03-01T06:00:00.000Z",
        "changed_by": "author of analytics",
        "readable": True,
    }
    gone = house.ask("author", "DELETE", "/api/v1/secrets/token")
    assert gone.json() == {"name": "token", "team": "analytics", "version": 2, "removed": True}
    again = house.ask("author", "DELETE", "/api/v1/secrets/token")
    assert (again.status_code, again.json()["code"]) == (404, "not_found")
    trail = house.ask("operator", "GET", "/api/v1/audit")
    assert [row["actor"] for row in trail.json()["audit"]] == ["author of analytics"] * 3
    for answer in (first, same, second, gone, again, trail):
        assert VALUE not in answer.text


@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        ("viewer", "GET", "secrets", 403),
        ("worker", "GET", "secrets", 403),
        ("operator", "GET", "secrets", 200),
        ("operator", "DELETE", "secrets/token", 403),
        ("author", "DELETE", "secrets/token", 200),
        ("author", "POST", "secrets/rekey", 403),
        ("admin", "POST", "secrets/rekey", 403),
    ],
)
def test_roles(house: House, role: Any, method: str, path: str, status: int) -> None:
    put(house)
    assert house.ask(role, method, f"/api/v1/{path}").status_code == status


def test_an_operator_sets_none(house: House) -> None:
    assert put(house, role="operator").status_code == 403


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("abc", "bad_secret"),
        ("  abc \n", "bad_secret"),
        ("x" * (32 * 1024 + 1), "bad_secret"),
        ("abc\0def", "bad_secret"),
        (12345, "invalid_request"),
        (None, "invalid_request"),
    ],
)
def test_an_unfit_value_is_refused_and_not_repeated(house: House, value: Any, code: str) -> None:
    response = put(house, value=value)
    assert (response.status_code, response.json()["code"]) == (422, code)
    assert "abc" not in response.text
    assert "12345" not in response.text


@pytest.mark.parametrize("name", ["Token", "1a", "a.b", "a" * 64])
def test_an_unfit_name_is_refused(house: House, name: str) -> None:
    assert put(house, name).json()["code"] == "bad_name"
    assert house.ask("author", "DELETE", f"/api/v1/secrets/{name}").status_code == 404


def test_the_team_is_the_token_s_the_only_one_or_named(house: House) -> None:
    house.token("author", "analytics")
    assert put(house, by=None).json()["team"] == "analytics"
    house.token("author", "risk")
    unclear = put(house, by=None).json()
    assert unclear["code"] == "team_needed"
    assert "--team" in unclear["hint"]
    assert '"team"' in unclear["hint"]
    path = "/api/v1/secrets/token"
    assert "?team=" in house.ask("author", "DELETE", path, team=None).json()["hint"]
    assert put(house, by=None, team="risk").json()["team"] == "risk"
    assert put(house, by=None, team="nowhere").json()["code"] == "unknown_team"
    assert put(house, by="risk", team="analytics").json()["code"] == "foreign_team"
    shown = house.ask("author", "GET", "/api/v1/secrets", team="risk").json()["secrets"]
    assert [row["team"] for row in shown] == ["risk"]
    foreign = house.ask("author", "GET", "/api/v1/secrets?team=analytics", team="risk")
    assert foreign.json()["code"] == "foreign_team"
    foreign = house.ask("author", "DELETE", "/api/v1/secrets/token?team=analytics", team="risk")
    assert foreign.json()["code"] == "foreign_team"


def test_applying_warns_of_what_is_not_set(house: House) -> None:
    [warning] = house.apply(STEPS).json()["warnings"]
    assert (warning["code"], warning["secret"]) == ("secret_missing", "token")
    assert warning["hint"] == "headway secret set token --team analytics"
    put(house)
    assert house.apply(STEPS).json()["warnings"] == []


def claimed(house: House) -> dict[str, Any]:
    answer: dict[str, Any] = house.claim(house.bell.rung[-1]).json()["claims"][0]
    return answer


def test_the_claim_alone_is_told_the_value_and_again_the_same(house: House) -> None:
    put(house)
    run = house.running(STEPS)
    first, again = claimed(house), claimed(house)
    assert first == again
    assert first["secrets"] == {"token": VALUE}
    assert first["failure"] is None
    work = first["work"]
    assert work["body"]["env"]["TOKEN"] == "secret://token"
    assert work["secrets"] == [
        {"name": "token", "at": ["env", "TOKEN"], "start": 0},
        {"name": "token", "at": ["env", "BOTH"], "start": 2},
    ]
    assert VALUE not in str(house.shown(run))


def test_a_parameter_cannot_name_a_secret(house: House) -> None:
    put(house)
    put(house, "other", "another value")
    house.running(STEPS, params={"word": "secret://other"})
    answer = claimed(house)
    assert answer["work"]["body"]["env"]["WORD"] == "secret://other"
    assert answer["secrets"] == {"token": VALUE}
    assert [use["at"] for use in answer["work"]["secrets"]] == [["env", "TOKEN"], ["env", "BOTH"]]
    assert answer["work"]["secrets"][1]["start"] == len("secret://other ")


def test_another_team_s_secret_is_missing(house: House) -> None:
    put(house, by="risk")
    house.running(STEPS)
    answer = claimed(house)
    assert answer["won"]
    assert answer["secrets"] == {}
    assert answer["failure"]["code"] == "secret_missing"
    assert "headway secret set token --team analytics" in answer["failure"]["message"]


def test_a_missing_secret_fails_the_step_at_once(house: House) -> None:
    run = house.running(STEPS)
    error = claimed(house)["failure"]
    house.finish("get", outcome="failed", error=error)
    [step] = house.shown(run)["steps"]
    assert (step["state"], step["reason"], len(step["attempts"])) == ("failed", "secret_missing", 1)


def test_a_secret_under_another_key_says_so(house: House) -> None:
    foreign = Cipher(b"the key before this one").seal("analytics", "token", 1, VALUE, bytes(12))
    house.token("viewer")
    house.storage.secrets.put(foreign, before=None, actor="ann")
    house.running(STEPS)
    failure = claimed(house)["failure"]
    assert failure["code"] == "secret_unreadable"
    assert "another HEADWAY_SECRET_KEY" in failure["message"]
    [row] = house.ask("operator", "GET", "/api/v1/secrets").json()["secrets"]
    assert not row["readable"]
    # To set it again is the mend, also with the same value.
    assert put(house).json() == {
        "name": "token", "team": "analytics", "version": 2, "changed": True,
    }  # fmt: skip
    assert claimed(house)["secrets"] == {"token": VALUE}


def test_secrets_move_to_the_present_key(house: House) -> None:
    former = b"the key before this one"
    for name, key in (("known", former), ("lost", b"a key that nobody has")):
        sealed = Cipher(key).seal("analytics", name, 1, VALUE, bytes(12))
        house.storage.secrets.put(sealed, before=None, actor="ann")
    object.__setattr__(house.services, "secrets", Secrets(house.storage, Cipher(KEY, [former])))
    answer = house.ask("admin", "POST", "/api/v1/secrets/rekey", team=None)
    assert answer.json() == {"rekeyed": 1, "unreadable": [{"team": "analytics", "name": "lost"}]}
    [sealed] = house.storage.secrets.find("analytics", ["known"])
    assert (sealed.version, Cipher(KEY).open(sealed)) == (1, VALUE)


def test_a_secret_that_a_webhook_or_a_notice_names_and_nobody_has_set_is_a_warning(
    house: House,
) -> None:
    text = SALES.replace(
        "steps:",
        "triggers: [{webhook: {source: generic, secret: [secret://hook, secret://next-hook]}}]\n"
        "notify: [{on: [failed], webhook: secret://chat}]\nsteps:",
        1,
    )
    warnings = house.apply(text).json()["warnings"]
    assert [each["secret"] for each in warnings] == ["chat", "hook", "next-hook"]
