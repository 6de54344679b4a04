"""`runs clear|mark|pause|resume`: what they send, show and refuse."""

from __future__ import annotations

import pytest

from tests.unit.cli.conftest import Command
from tests.unit.cli.documents import ID
from tests.unit.client.api_double import ApiDouble, Asked, Reply, problem

CLEARED = {
    "id": ID,
    "inbox": None,
    "clear": [
        {"step": "load", "state": "failed", "running": False},
        {"step": "report", "state": "upstream_failed", "running": False},
    ],
}


def on_clear(asked: Asked) -> Reply:
    return Reply(CLEARED if asked.body.get("dry_run") else {**CLEARED, "inbox": 7}, 202)


def test_clear_says_first_what_it_would_do(headway: Command, api: ApiDouble) -> None:
    api.on(f"POST /runs/{ID}/clear", on_clear)
    done = headway("runs", "clear", ID, "load", "--dry-run")
    assert (done.status, done.out.splitlines()) == (
        0,
        [f"{ID}: 2 to clear", "  load (failed)", "  report (upstream_failed)"],
    )
    assert headway("runs", "clear", ID, "load", "--dry-run", "--json").document == CLEARED
    assert [each.body["dry_run"] for each in api.asked] == [True, True]


def test_clear_asks_and_where_nobody_can_be_asked_it_says_so(
    headway: Command, api: ApiDouble
) -> None:
    api.on(f"POST /runs/{ID}/clear", on_clear)
    done = headway("runs", "clear", ID, "load", "--json")
    assert (done.status, done.document["error"]["hint"]) == (2, "say --yes")
    assert "2 to clear" in done.err
    assert len(api.asked) == 1
    done = headway("runs", "clear", ID, "load", "--only", "--yes", "--reason", "bad data", "--json")
    assert (done.status, done.document["inbox"]) == (0, 7)
    wanted = {"steps": ["load"], "only": True, "force": False, "reason": "bad data"}
    assert api.asked[-1].body == wanted


def test_mark(headway: Command, api: ApiDouble) -> None:
    api.on(f"POST /runs/{ID}/mark", Reply({"id": ID, "inbox": 8}, 202))
    done = headway("runs", "mark", ID, "load", "succeeded", "--output", '{"rows": 3}')
    assert (done.status, done.out) == (
        0,
        f"{ID}: marked as succeeded; see headway runs show {ID}\n",
    )
    wanted = {"steps": ["load"], "state": "succeeded", "force": False, "outputs": {"rows": 3}}
    assert api.asked[-1].body == wanted
    headway("runs", "mark", ID, "a", "b", "skipped", "--force", "--reason", "not needed")
    assert api.asked[-1].body == {
        "steps": ["a", "b"],
        "state": "skipped",
        "force": True,
        "reason": "not needed",
    }


@pytest.mark.parametrize(
    "words",
    [("load",), ("succeeded",), ("load", "done"), ("load", "failed", "--output", "[1]")],
)
def test_marks_that_make_no_sense(headway: Command, api: ApiDouble, words: tuple[str, ...]) -> None:
    assert headway("runs", "mark", ID, *words).status == 2
    assert api.asked == []


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_pause_and_resume(headway: Command, api: ApiDouble, verb: str) -> None:
    api.on(f"POST /runs/{ID}/{verb}", Reply({"id": ID, "inbox": 9}, 202))
    done = headway("runs", verb, ID, "--reason", "the source is down", "--json")
    assert (done.status, done.document) == (0, {"id": ID, "inbox": 9})
    assert api.asked[-1].body == {"reason": "the source is down"}
    api.on(f"POST /runs/{ID}/{verb}", problem(409, "not_now", "only a running run"))
    assert headway("runs", verb, ID).status == 4


def test_rerun(headway: Command, api: ApiDouble) -> None:
    told = {"id": "new", "pipeline": "p", "state": "queued", "created": True, "rerun_of": ID}
    api.on(f"POST /runs/{ID}/rerun", Reply(told, 202))
    done = headway("runs", "rerun", ID, "-p", "day=2026-01-02", "--latest", "--reason", "mended")
    assert (done.status, done.out) == (
        0,
        f"new: does run {ID} again; see headway runs show new\n",
    )
    wanted = {"params": {"day": "2026-01-02"}, "latest": True, "reason": "mended"}
    assert api.asked[-1].body == wanted
    assert headway("runs", "rerun", ID, "--json").document == told
