"""`pipelines|queues|team pause|resume`: what they send and say."""

from __future__ import annotations

from tests.unit.cli.conftest import Command
from tests.unit.client.api_double import ApiDouble, Reply

HELD = {"at": "2026-01-01T00:00:00.000Z", "by": "ada", "reason": "bad data"}


def test_a_queue(headway: Command, api: ApiDouble) -> None:
    answer = {"kind": "queue", "team": "demo", "name": "io", "paused": HELD}
    api.on("POST /queues/demo.io/pause", Reply(answer))
    done = headway("queues", "pause", "demo.io", "--reason", "bad data")
    assert (done.status, done.out) == (0, "queue demo.io is paused\n")
    assert api.asked[-1].body == {"reason": "bad data"}
    api.on("POST /queues/demo.io/resume", Reply({**answer, "paused": None}))
    assert headway("queues", "resume", "demo.io", "--json").document["paused"] is None


def test_a_team(headway: Command, api: ApiDouble) -> None:
    answer = {"kind": "team", "team": "demo", "name": "demo", "paused": HELD}
    api.on("POST /teams/demo/pause", Reply(answer))
    assert headway("team", "pause", "demo", "--json").document == answer
    api.on("GET /teams", Reply({"teams": [{"name": "demo", "paused": HELD}], "next": None}))
    assert "paused by ada: bad data" in headway("team", "list").out


def test_a_pipeline(headway: Command, api: ApiDouble) -> None:
    rows = [{"pipeline": "daily", "team": team, "paused": None} for team in ("demo", "risk")]
    api.on("GET /pipelines", Reply({"pipelines": rows, "next": None}))
    answer = {"kind": "pipeline", "team": "risk", "name": "daily", "paused": HELD}
    api.on("POST /pipelines/risk/daily/pause", Reply(answer))
    assert headway("pipelines", "pause", "daily").status == 2
    assert headway("pipelines", "pause", "nope").status == 4
    assert headway("pipelines", "pause", "risk/daily").out == "pipeline daily is paused\n"
    assert headway("pipelines", "pause", "daily", "--team", "risk").status == 0


def test_queues_are_still_listed(headway: Command, api: ApiDouble) -> None:
    row = {"queue": "demo.io", "ready": 3, "paused": HELD}
    api.on("GET /queues", Reply({"queues": [row], "next": None}))
    assert headway("queues", "--json").document == {"queues": [row]}
    assert "paused by ada: bad data" in headway("queues").out
