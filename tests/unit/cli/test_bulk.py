"""`runs bulk`: what it finds, shows, sends and refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.cli.conftest import Command
from tests.unit.client.api_double import ApiDouble, Asked, Reply

IDS = [f"01kjkzpwr08p4xkr564c4cx8r{end}" for end in "abc"]


def run(id: str, state: str = "failed", quarantine: str | None = None) -> dict[str, Any]:
    return {
        "id": id,
        "pipeline": "sales",
        "team": "analytics",
        "state": state,
        "quarantine": quarantine,
        "created_at": "2026-03-01T06:00:00.000Z",
    }


@pytest.fixture
def three(api: ApiDouble) -> ApiDouble:
    """Three runs on two pages, and one that is set aside."""
    aside = run("01kjkzpwr08p4xkr564c4cx8rz", quarantine="broken")
    pages = {
        None: {"runs": [run(IDS[0]), aside, run(IDS[1])], "next": "2"},
        "2": {"runs": [run(IDS[2], "timed_out")], "next": None},
    }
    api.on("GET /runs", lambda asked: Reply(pages[asked.query.get("cursor")]))

    def bulk(asked: Asked) -> Reply:
        rows = [{"id": id, "inbox": 7} for id in asked.body["ids"]]
        return Reply({"action": asked.body["action"], "asked": rows, "refused": []}, 202)

    api.on("POST /runs/bulk", bulk)
    return api


def test_a_look_first_at_what_fits(headway: Command, three: ApiDouble) -> None:
    done = headway("runs", "bulk", "retry", "--pipeline", "sales", "--dry-run", "--json")
    assert (done.status, done.document) == (0, {"action": "retry", "count": 3, "runs": IDS})
    [first, second] = three.requests("GET /runs")
    assert first.query["state"] == "failed,timed_out"
    assert (first.query["pipeline"], second.query["cursor"]) == ("sales", "2")
    shown = headway("runs", "bulk", "retry", "--pipeline", "sales", "--dry-run").out
    assert shown.splitlines()[0] == "3 to retry: 2 failed, 1 timed_out"
    assert three.requests("POST /runs/bulk") == []


def test_just_those_that_were_counted_are_asked(headway: Command, three: ApiDouble) -> None:
    words = ("--team", "analytics", "--since", "2026-03-01T06:00:00Z", "--reason", "source is back")
    done = headway("runs", "bulk", "retry", *words, "--yes", "--json")
    assert done.status == 0
    assert [row["id"] for row in done.document["asked"]] == IDS
    [sent] = three.requests("POST /runs/bulk")
    assert sent.body == {"action": "retry", "ids": IDS, "reason": "source is back"}
    assert three.requests("GET /runs")[0].query["since"] == "2026-03-01T06:00:00+00:00"


def test_where_nobody_can_be_asked_it_says_so(headway: Command, three: ApiDouble) -> None:
    done = headway("runs", "bulk", "cancel", "--state", "queued", "--json")
    assert (done.status, done.document["error"]["hint"]) == (2, "say --yes")
    assert "3 to cancel" in done.err
    assert three.requests("POST /runs/bulk") == []


def test_what_each_action_sends(headway: Command, three: ApiDouble) -> None:
    def sent(*words: str) -> dict[str, Any]:
        assert headway("runs", "bulk", *words, "--all", "--yes").status == 0
        body = dict(three.requests("POST /runs/bulk")[-1].body)
        del body["ids"]
        return body

    assert sent("cancel", "--grace", "2m") == {"action": "cancel", "grace": 120.0}
    assert sent("cancel", "--force") == {"action": "cancel", "force": True}
    assert sent("clear", "--step", "a", "--step", "b", "--only") == {
        "action": "clear",
        "steps": ["a", "b"],
        "only": True,
    }
    assert sent("mark", "--step", "a", "--to", "skipped") == {
        "action": "mark",
        "steps": ["a"],
        "state": "skipped",
    }
    assert sent("rerun", "--latest") == {"action": "rerun", "latest": True}


def test_who_refuses_is_told(headway: Command, three: ApiDouble) -> None:
    refused = [{"id": IDS[1], "code": "run_ended", "message": "the run has ended as failed"}]
    told = {"action": "cancel", "asked": [{"id": IDS[0], "inbox": 1}], "refused": refused}
    three.on("POST /runs/bulk", Reply(told, 202))
    done = headway("runs", "bulk", "cancel", "--all", "--yes")
    assert (done.status, done.out) == (4, "1 asked, 1 refused\n")
    assert f"{IDS[1]}: the run has ended as failed [run_ended]" in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("cancel",), "this would be for every run there is"),
        (("clear", "--all"), "clear needs --step"),
        (("mark", "--all", "--step", "a"), "mark needs --to"),
        (("mark", "--all", "--step", "a", "--to", "done"), "--to: `done` is no state"),
        (("cancel", "--all", "--grace", "soon"), "--grace:"),
        (("cancel", "--all", "--grace", "2h"), "--grace is at most an hour"),
        (("retry", "--since", "yesterday"), "--since: `yesterday` is neither"),
        (("retry", "--until", "2026-03-01T06:00:00"), "has no time zone"),
    ],
)
def test_what_makes_no_sense_asks_nothing(
    headway: Command, three: ApiDouble, words: tuple[str, ...], message: str
) -> None:
    done = headway("runs", "bulk", *words, "--yes")
    assert done.status == 2
    assert message in done.err
    assert three.requests("POST /runs/bulk") == []


def test_cancel_with_grace_and_by_force(headway: Command, api: ApiDouble) -> None:
    api.on(f"POST /runs/{IDS[0]}/cancel", Reply({"id": IDS[0], "inbox": 1}, 202))
    assert headway("runs", "cancel", IDS[0], "--grace", "30s").status == 0
    assert headway("runs", "cancel", IDS[0], "--force", "--reason", "it hangs").status == 0
    assert [each.body for each in api.asked] == [
        {"grace": 30.0},
        {"reason": "it hangs", "force": True},
    ]
    assert headway("runs", "cancel", IDS[0], "--force", "--grace", "1s").status == 2


def test_runs_of_a_time_are_listed(headway: Command, three: ApiDouble) -> None:
    headway(
        "runs", "list", "--since", "2026-03-01T06:00:00Z", "--until", "2026-03-02T06:00:00+01:00"
    )
    [asked] = three.asked
    assert asked.query["since"] == "2026-03-01T06:00:00+00:00"
    assert asked.query["until"] == "2026-03-02T06:00:00+01:00"


def test_a_run_says_who_cancelled_it_by_force(headway: Command, api: ApiDouble) -> None:
    asked = {"kind": "cancel", "actor": "ann", "reason": "it hangs", "force": True, "steps": []}
    asked |= {"asked_at": "2026-03-01T06:00:00Z", "result": "applied", "state": None}
    shown = {
        **run(IDS[0], "cancelled"),
        "steps": [],
        "requests": [asked, {**asked, "force": False}],
    }
    api.on(f"GET /runs/{IDS[0]}", Reply(shown))
    out = headway("runs", "show", IDS[0]).out
    assert "cancel by force: by ann, 2026-03-01 06:00:00Z: it hangs" in out
    assert "cancel: by ann, 2026-03-01 06:00:00Z: it hangs" in out
