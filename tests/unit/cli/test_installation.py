"""Lists of the installation, teams and tokens."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.cli.conftest import Command
from tests.unit.client.api_double import ApiDouble, Reply

QUEUE = {
    "queue": "demo.large",
    "team": "demo",
    "class": "large",
    "ready": 4,
    "dispatched": 2,
    "running": 8,
    "workers": 1,
    "slots": 8,
    "slots_free": 0,
}
WORKER = {
    "worker": "w1",
    "team": "demo",
    "hostname": "host-a",
    "queues": ["demo.large", "demo.small"],
    "slots": 8,
    "slots_free": 3,
    "draining": True,
    "seen_at": "2026-01-01T00:00:00.000Z",
}
PIPELINE = {
    "pipeline": "weather",
    "team": "demo",
    "owner": "me@example.com",
    "version": 3,
    "last_run": {"id": "r1", "state": "failed"},
}
TOKEN = {"id": "t1", "subject": "ada", "team": None, "role": "admin", "expires_at": None}


@pytest.mark.parametrize(
    ("line", "route", "row", "words"),
    [
        ("queues", "queues", QUEUE, ["demo.large", " 4 ", " 8 "]),
        ("workers", "workers", WORKER, ["w1", "demo.large, demo.small", "3 of 8 free", "draining"]),
        ("pipelines list", "pipelines", PIPELINE, ["weather", "me@example.com", "✕ failed"]),
        ("team list", "teams", {"name": "demo", "created_at": None}, ["demo"]),
        ("token list", "tokens", TOKEN, ["t1", "ada", "all teams", "never", "valid"]),
    ],
)
def test_lists(
    headway: Command, api: ApiDouble, line: str, route: str, row: dict[str, Any], words: list[str]
) -> None:
    api.on(f"GET /{route}", Reply({route: [row], "next": None}))
    text = headway(*line.split())
    assert text.status == 0
    assert all(word in text.out for word in words)
    assert headway(*line.split(), "--json").document == {route: [row]}
    api.on(f"GET /{route}", Reply({route: [], "next": None}))
    assert headway(*line.split()).out.startswith("no ")


def test_leader(headway: Command, api: ApiDouble) -> None:
    api.on("GET /leader", Reply({"holder": "c1", "epoch": 4, "expires_at": None}))
    assert headway("leader").out == "c1 leads, epoch 4, lease until -\n"
    gone = {"holder": "c1", "epoch": 4, "expires_at": None, "alive": False}
    for answer in (gone, {"holder": None, "epoch": 0, "alive": False}):
        api.on("GET /leader", Reply(answer))
        assert headway("leader").out.startswith("no coordinator leads")
        assert headway("leader", "--json").document == answer


def test_team_add(headway: Command, api: ApiDouble) -> None:
    api.on("POST /teams", Reply({"name": "demo", "created": True}, 201))
    assert headway("team", "add", "demo").status == 0
    assert api.asked[0].body == {"name": "demo"}


def test_a_new_token_is_alone_on_stdout(headway: Command, api: ApiDouble) -> None:
    api.on("POST /tokens", Reply({"token": "hw_x", "id": "t1"}, 201))
    line = "token create --role worker --subject host-a --team demo --expires 1d"
    done = headway(*line.split())
    assert done.out == "hw_x\n"
    assert "shown once" in done.err
    assert api.asked[0].body == {
        "subject": "host-a",
        "team": "demo",
        "role": "worker",
        "expires_in": 86_400,
    }


def test_revoke(headway: Command, api: ApiDouble) -> None:
    answer = {"id": "t1", "subject": "ada", "revoked": True}
    api.on("DELETE /tokens/t1", Reply(answer))
    assert headway("token", "revoke", "t1", "--json").document == answer
