"""Events over HTTP: proven, kept once, decided on, shown and replayed."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import re
import shlex
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from headway_coordinator.api import gate
from tests.unit.api.house import SALES, House
from tests.unit.integrations.webhooks.requests import alert, alert_group

DOCS = Path(__file__).resolve().parents[3] / "docs"
SECRET = "a secret of the hook"
HOOK = "/api/v1/hooks/github/sales"
HEARING = SALES.replace(
    "steps:",
    """\
triggers:
  - webhook: {source: github, event: push, secret: [secret://hook, secret://next-hook]}
    params: {region: "${{ event.data.ref }}"}
  - event: {type: com.example.*}
    if: event.data.size > 1
steps:""",
    1,
)
PUSH = {
    "ref": "refs/heads/main",
    "repository": {"full_name": "ann/shop", "html_url": "https://github.com/ann/shop"},
}


@pytest.fixture
def hearing(house: House) -> House:
    assert house.apply(HEARING).status_code == 200
    put = house.ask("author", "PUT", "/api/v1/secrets/hook", json={"value": SECRET})
    assert put.status_code == 200
    return house


def push(
    house: House,
    body: Any = PUSH,
    *,
    path: str = HOOK,
    secret: str = SECRET,
    delivery: str = "d-1",
    event: str = "push",
    **headers: str,
) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    mac = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    said = {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": f"sha256={mac}",
        **headers,
    }
    return house.client.post(path, content=raw, headers=said)


def cloudevent(type: str = "com.example.file", **keys: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "1", "source": "/files", "type": type, **keys}


def send(house: House, event: Mapping[str, Any], team: str | None = "analytics") -> Any:
    headers = {"Content-Type": "application/cloudevents+json"}
    return house.ask(
        "operator", "POST", "/api/v1/events", team=team, headers=headers, content=json.dumps(event)
    )


def test_a_signed_webhook_starts_a_run(hearing: House) -> None:
    before = hearing.trigger_nudges
    response = push(hearing)
    assert response.status_code == 202
    [event] = response.json()["events"]
    assert event["created"]
    assert hearing.trigger_nudges == before + 1
    hearing.decide()
    shown = hearing.ask("viewer", "GET", f"/api/v1/events/{event['id']}").json()
    [decision] = shown["decisions"]
    assert (decision["trigger"], decision["outcome"]) == ("webhook", "matched")
    assert shown["event"]["data"]["ref"] == "refs/heads/main"
    assert (shown["origin"], shown["subject"]) == ("webhook", "github/sales")
    hearing.lead()
    run = hearing.shown(decision["run"])
    assert run["params"] == {"region": "refs/heads/main"}
    assert run["actor"] == "trigger:webhook"


def test_a_delivery_that_comes_again_is_known(hearing: House) -> None:
    [first] = push(hearing).json()["events"]
    again = push(hearing)
    assert again.status_code == 200
    assert again.json()["events"] == [{**first, "created": False}]
    assert push(hearing, delivery="d-2").status_code == 202
    hearing.decide()
    assert len(hearing.ask("viewer", "GET", "/api/v1/events").json()["events"]) == 2


def test_an_alert_is_known_again_in_a_group_that_others_joined(house: House) -> None:
    text = HEARING.replace("source: github, event: push", "source: alertmanager")
    assert house.apply(text).status_code == 200
    house.ask("author", "PUT", "/api/v1/secrets/hook", json={"value": SECRET})
    said = {"Authorization": f"Bearer {SECRET}"}
    path = "/api/v1/hooks/alertmanager/sales"
    groups = [[alert()], [alert(fingerprint="new"), alert()], [alert(), alert(status="resolved")]]
    created = []
    for group in groups:
        response = house.client.post(path, json=alert_group(*group), headers=said)
        created.append([event["created"] for event in response.json()["events"]])
    assert created == [[True], [True, False], [False, True]]


@pytest.mark.parametrize("secret", ["another", ""])
def test_what_nothing_proves_is_refused_and_not_kept(hearing: House, secret: str) -> None:
    response = push(hearing, secret=secret)
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert SECRET not in response.text
    assert hearing.ask("viewer", "GET", "/api/v1/events").json()["events"] == []


def test_both_secrets_count_while_they_are_changed(hearing: House) -> None:
    hearing.ask("author", "PUT", "/api/v1/secrets/next-hook", json={"value": "the next secret"})
    assert push(hearing, secret="the next secret").status_code == 202
    assert push(hearing, delivery="d-2").status_code == 202


def test_a_hook_whose_secret_is_not_set_refuses(house: House) -> None:
    house.apply(HEARING)
    with capture_logs() as logs:
        for _ in range(3):
            response = push(house)
            assert response.status_code == 401
            assert response.json()["code"] == "secret_missing"
    told = [line for line in logs if line["event"] == "webhook_unprovable"]
    assert [(line["trigger"], line["log_level"]) for line in told] == [
        ("analytics/sales/webhook", "warning")
    ]
    assert told[0]["hint"] == "headway secret set hook --team analytics"
    house.clock.advance(timedelta(seconds=61))
    with capture_logs() as logs:
        push(house)
    assert [line["event"] for line in logs].count("webhook_unprovable") == 1


def test_a_hook_whose_secret_is_not_set_is_seen_by_its_people(house: House) -> None:
    house.apply(HEARING)

    def problem() -> Any:
        rows = house.ask("viewer", "GET", "/api/v1/triggers").json()["triggers"]
        found = house.ask("viewer", "GET", "/api/v1/diagnosis").json()["findings"]
        [finding] = [each for each in found if each["check"] == "webhooks.secrets"]
        by_kind = {row["kind"]: row["problem"] for row in rows}
        assert by_kind["event"] is None
        return by_kind["webhook"], finding["status"], finding["subject"], finding["mend"]

    why = "the secret `hook` is not set: each delivery is refused"
    mend = "headway secret set hook --team analytics"
    hint = {"message": why, "hint": mend}
    assert problem() == (hint, "wrong", "analytics/sales/webhook", mend)
    pause = "/api/v1/pipelines/analytics/sales/triggers/webhook/pause"
    assert house.ask("operator", "POST", pause).status_code == 200
    assert problem() == (hint, "fine", None, None)
    house.ask("operator", "POST", pause.replace("pause", "resume"))
    house.ask("author", "PUT", "/api/v1/secrets/next-hook", json={"value": "the next secret"})
    assert problem() == (None, "fine", None, None)


def test_an_address_that_no_trigger_has_is_not_there(hearing: House) -> None:
    for path in ("/api/v1/hooks/github/other", "/api/v1/hooks/gitlab/sales"):
        response = push(hearing, path=path)
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert push(hearing, path="/api/v1/hooks/github/Sales").status_code == 401
    assert push(hearing, path="/api/v1/hooks/github/sales/").status_code == 401
    assert hearing.client.get(HOOK).status_code == 401


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}'])
def test_what_holds_no_event_is_said_so(hearing: House, body: bytes) -> None:
    response = push(hearing, body)
    assert response.status_code == 422
    assert response.json()["code"] == "malformed_event"


def test_an_event_that_nobody_listens_to_is_kept_and_ignored(hearing: House) -> None:
    response = push(hearing, {"zen": "Design for failure."}, event="ping")
    assert response.status_code == 202
    hearing.decide()
    [row] = hearing.ask("viewer", "GET", "/api/v1/events").json()["events"]
    assert [d["outcome"] for d in row["decisions"]] == ["filtered"]


def test_a_body_over_the_limit_is_refused(hearing: House) -> None:
    assert push(hearing, b"x" * (1024 * 1024 + 1)).status_code == 413


def test_a_body_that_comes_drop_by_drop_is_cut_off(
    hearing: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "HOOK_PATIENCE_S", 0.05)
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": HOOK,
        "raw_path": HOOK.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "http_version": "1.1",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }

    async def receive() -> dict[str, Any]:
        if not sent:
            await asyncio.sleep(30)
        return {"type": "http.disconnect"}

    async def answer(message: Any) -> None:
        sent.append(message)

    asyncio.run(hearing.app(scope, receive, answer))
    assert sent[0]["status"] == 408


def test_cloudevents_in_three_modes(hearing: House) -> None:
    assert send(hearing, cloudevent(data={"size": 2})).status_code == 202
    binary = hearing.ask(
        "operator",
        "POST",
        "/api/v1/events",
        content=b'{"size": 1}',
        headers={
            "ce-specversion": "1.0",
            "ce-id": "2",
            "ce-source": "/files",
            "ce-type": "com.example.file",
            "Content-Type": "application/json",
        },
    )
    assert binary.status_code == 202, binary.text
    batch = [cloudevent(id="3", data={"size": 9}), cloudevent(id="1")]
    batched = hearing.ask(
        "operator",
        "POST",
        "/api/v1/events",
        content=json.dumps(batch),
        headers={"Content-Type": "application/cloudevents-batch+json"},
    )
    assert [e["created"] for e in batched.json()["events"]] == [True, False]
    hearing.decide()
    rows = hearing.ask("viewer", "GET", "/api/v1/events").json()["events"]
    outcomes = sorted(row["decisions"][0]["outcome"] for row in rows)
    assert outcomes == ["filtered", "matched", "matched"]


def test_an_event_goes_to_one_team_that_is_there(hearing: House) -> None:
    hearing.token("viewer", "risk")
    unclear = send(hearing, cloudevent(), team=None)
    assert (unclear.status_code, unclear.json()["code"]) == (422, "team_needed")
    assert "--team" in unclear.json()["hint"]
    assert "?team=" in unclear.json()["hint"]
    path = "/api/v1/events?team=risk"
    headers = {"Content-Type": "application/cloudevents+json"}
    given: dict[str, Any] = {"headers": headers, "content": json.dumps(cloudevent())}
    assert hearing.ask("operator", "POST", path, **given).status_code == 403
    assert hearing.ask("admin", "POST", path, team=None, **given).status_code == 202
    missing = hearing.ask("admin", "POST", "/api/v1/events?team=nobody", team=None, **given)
    assert missing.status_code in (404, 422)


def test_another_teams_event_is_not_there(hearing: House) -> None:
    [event] = push(hearing).json()["events"]
    for method, path in (
        ("GET", f"/api/v1/events/{event['id']}"),
        ("POST", f"/api/v1/events/{event['id']}/replay"),
        ("POST", "/api/v1/pipelines/analytics/sales/triggers/webhook/pause"),
    ):
        assert hearing.ask("admin", method, path, team="risk").status_code == 404, path
    for path in ("/api/v1/events", "/api/v1/triggers"):
        [rows, _] = hearing.ask("admin", "GET", path, team="risk").json().values()
        assert rows == []
        assert hearing.ask("viewer", "GET", path + "?team=risk").json().popitem()[1] is None


def test_a_replay_is_decided_on_anew(hearing: House) -> None:
    [event] = push(hearing).json()["events"]
    hearing.decide()
    path = f"/api/v1/events/{event['id']}/replay"
    once = hearing.ask("operator", "POST", path, headers={"Idempotency-Key": "k"}).json()
    again = hearing.ask("operator", "POST", path, headers={"Idempotency-Key": "k"}).json()
    assert (once["id"], once["replay_of"]) == (again["id"], event["id"])
    hearing.decide()
    shown = hearing.ask("viewer", "GET", f"/api/v1/events/{once['id']}").json()
    assert shown["decisions"][0]["outcome"] == "matched"
    assert shown["event"]["replay_of"] == event["id"]
    hearing.lead()
    assert hearing.shown(shown["decisions"][0]["run"])["actor"] == "operator of analytics"


def test_triggers_are_listed_paused_and_resumed(hearing: House) -> None:
    rows = hearing.ask("viewer", "GET", "/api/v1/triggers?pipeline=sales").json()["triggers"]
    assert [(row["trigger"], row["address"]) for row in rows] == [
        ("event", None),
        ("webhook", HOOK),
    ]
    base = "/api/v1/pipelines/analytics/sales/triggers"
    assert hearing.ask("viewer", "POST", f"{base}/webhook/pause").status_code == 403
    paused = hearing.ask("operator", "POST", f"{base}/webhook/pause")
    assert paused.json()["paused"] is True
    assert hearing.ask("operator", "POST", f"{base}/webhook/pause").status_code == 409
    missing = hearing.ask("operator", "POST", f"{base}/none/pause").json()
    assert (missing["status"], missing["hint"]) == (404, "it has: event, webhook")
    push(hearing)
    hearing.decide()
    [row] = hearing.ask("viewer", "GET", "/api/v1/events?outcome=filtered").json()["events"]
    assert row["decisions"][0]["reason"] == "the trigger was paused by operator of analytics"
    assert hearing.ask("operator", "POST", f"{base}/webhook/resume").json()["paused"] is False
    audit = hearing.ask("operator", "GET", "/api/v1/audit").json()["audit"]
    assert [t["to"] for row in audit for t in row["transitions"] if t["entity"] == "trigger"] == [
        "active",
        "paused",
    ]


def examples(page: str) -> list[list[str]]:
    """Return the arguments of each curl example of a page, but for those that are signed."""
    text = (DOCS / page).read_text().replace("\\\n", " ")
    blocks = re.findall(r"^curl .*?(?=^```)", text, flags=re.MULTILINE | re.DOTALL)
    words = [shlex.split(block)[1:] for block in blocks if "$mac" not in block]
    assert words
    return words


@pytest.mark.parametrize("words", [*examples("triggers.md"), *examples("api.md")])
def test_an_example_of_the_documentation_is_taken(hearing: House, words: list[str]) -> None:
    """As a token for all teams sends it, where there are several."""
    daily = SALES.replace("pipeline: sales", "pipeline: daily-sales").replace("region:", "day:")
    for team in ("analytics", "risk"):
        assert hearing.apply(daily.replace("team: analytics", f"team: {team}")).status_code == 200
    given = list(itertools.pairwise(words))
    headers = dict(value.split(": ", 1) for flag, value in given if flag == "-H")
    [body] = [value for flag, value in given if flag == "-d"]
    [address] = [word for word in words if word.startswith("http://127.0.0.1:8470/")]
    headers.pop("Authorization")
    path = address.removeprefix("http://127.0.0.1:8470")
    taken = hearing.ask("admin", "POST", path, team=None, content=body, headers=headers)
    assert taken.status_code == 202, taken.text
