"""`events …` and `triggers …`: listed, shown, sent, replayed, paused and resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.unit.cli.conftest import Command
from tests.unit.client.api_double import ApiDouble, Reply

EVENT = "01kf0000000000000000000001"
DECISION = {
    "team": "demo",
    "pipeline": "sales",
    "trigger": "webhook",
    "outcome": "filtered",
    "reason": "`if: false` is false",
    "run": None,
    "at": "2026-03-01T06:00:00Z",
}


def row(**keys: Any) -> dict[str, Any]:
    return {
        "id": EVENT,
        "team": "demo",
        "origin": "webhook",
        "subject": "github/sales",
        "type": "com.github.push",
        "source": "https://github.com/ann/shop",
        "received_at": "2026-03-01T06:00:00Z",
        "decided_at": "2026-03-01T06:00:00Z",
        "decisions": [DECISION],
        **keys,
    }


def trigger(name: str = "webhook", **keys: Any) -> dict[str, Any]:
    return {
        "team": "demo",
        "pipeline": "sales",
        "trigger": name,
        "kind": "webhook",
        "about": {"source": "github"},
        "if": None,
        "paused_at": None,
        "paused_by": None,
        "address": "/api/v1/hooks/github/sales",
        "next": [],
        **keys,
    }


def test_events_are_listed_with_what_triggers_made_of_them(
    headway: Command, api: ApiDouble
) -> None:
    rows = [row(), row(decisions=[]), row(decisions=[], decided_at=None)]
    api.on("GET /events", Reply({"events": rows, "next": "c"}))
    done = headway("events", "list", "--pipeline", "sales", "--outcome", "filtered")
    assert "sales/webhook: filtered" in done.out
    assert "nobody listens" in done.out
    assert "not decided yet" in done.out
    assert "more: --cursor c" in done.err


def test_an_event_is_shown_with_its_data_and_why(headway: Command, api: ApiDouble) -> None:
    event = {"id": "1", "type": "com.github.push", "source": "s", "data": {"ref": "main"}}
    api.on(f"GET /events/{EVENT}", Reply({**row(), "event": event}))
    done = headway("events", "show", EVENT)
    assert '"ref": "main"' in done.out
    assert "`if: false` is false" in done.out


def test_an_event_is_sent_with_its_data(headway: Command, api: ApiDouble, tmp_path: Path) -> None:
    kept = {"events": [{"id": EVENT, "type": "t", "created": True}]}
    api.on("POST /events", Reply(kept, 202))
    file = tmp_path / "data.json"
    file.write_text('{"rows": 12}')
    done = headway("events", "send", "--type", "t", "--data", f"@{file}", "--id", "7", "--json")
    assert json.loads(done.out) == kept
    body = api.asked[0].body
    assert (body["id"], body["data"], body["specversion"]) == ("7", {"rows": 12}, "1.0")


def test_data_that_is_not_json_is_said_so(headway: Command, api: ApiDouble) -> None:
    done = headway("events", "send", "--type", "t", "--data", "{")
    assert done.status == 2
    assert "the data is not JSON" in done.err
    assert api.asked == []


def test_an_event_is_replayed(headway: Command, api: ApiDouble) -> None:
    api.on(f"POST /events/{EVENT}/replay", Reply({"id": "new", "replay_of": EVENT}, 202))
    done = headway("events", "replay", EVENT)
    assert done.out.startswith(f"event new is a replay of {EVENT}")


def test_triggers_are_listed(headway: Command, api: ApiDouble) -> None:
    about = {"cron": "0 6 * * *", "timezone": "Europe/Paris"}
    schedule = trigger("daily", kind="schedule", about=about, next=["2026-03-02T05:00:00Z"])
    paused = trigger(paused_at="2026-03-01T06:00:00Z", paused_by="ann")
    api.on("GET /triggers", Reply({"triggers": [schedule, paused], "next": None}))
    done = headway("triggers", "list")
    assert "0 6 * * * (Europe/Paris)" in done.out
    assert "2026-03-02 05:00:00Z" in done.out
    assert "POST /api/v1/hooks/github/sales" in done.out
    assert "paused by ann" in done.out


def test_a_webhook_that_takes_nothing_says_why(headway: Command, api: ApiDouble) -> None:
    mend = "headway secret set hook --team demo"
    problem = {"message": "the secret `hook` is not set: each delivery is refused", "hint": mend}
    rows = [trigger(problem=problem), trigger("other", problem=None)]
    api.on("GET /triggers", Reply({"triggers": rows, "next": None}))
    done = headway("triggers", "list")
    assert done.out.count("the secret `hook` is not set: each delivery is refused") == 1
    assert done.err == f"mend: {mend}\n"


def test_all_triggers_of_a_pipeline_are_paused(headway: Command, api: ApiDouble) -> None:
    rows = [trigger("a"), trigger("b", paused_at="2026-03-01T06:00:00Z")]
    api.on("GET /triggers", Reply({"triggers": rows, "next": None}))
    api.on(
        "POST /pipelines/demo/sales/triggers/a/pause",
        Reply({"team": "demo", "pipeline": "sales", "trigger": "a", "paused": True}),
    )
    done = headway("triggers", "pause", "demo/sales")
    assert done.out == "demo/sales: a is paused\n"


def test_a_pipeline_that_is_not_there_is_said_so(headway: Command, api: ApiDouble) -> None:
    api.on("GET /triggers", Reply({"triggers": [], "next": None}))
    done = headway("triggers", "pause", "nope")
    assert done.status == 4
    assert "there is no pipeline `nope` with triggers" in done.err
