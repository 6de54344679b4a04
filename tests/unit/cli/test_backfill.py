"""`backfill …`: looked at, asked about, started, followed to its end, steered."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headway.cli.backfill_progress import follow, progress_words, seconds_left, status_of
from headway.clock import ManualClock
from headway.errors import UnavailableError
from tests.unit.cli.conftest import Command
from tests.unit.client.api_double import ApiDouble, Reply, problem

ID = "01kf0000000000000000000001"
PLAN = {
    "pipeline": "sales",
    "team": "demo",
    "order": "oldest",
    "only": "all",
    "priority": -100,
    "max_in_flight": 3,
    "dates": 7,
    "count": 7,
    "first": "2026-02-01T05:00:00.000Z",
    "last": "2026-02-07T05:00:00.000Z",
}
START = datetime(2026, 3, 1, tzinfo=UTC)


def document(state: str = "running", *, total: int = 7, **counts: int) -> dict[str, Any]:
    kinds = ("waiting", "in_flight", "succeeded", "failed", "cancelled", "filtered")
    return {
        **PLAN,
        "id": ID,
        "state": state,
        "reason": None,
        "actor": "ann",
        "from": PLAN["first"],
        "until": PLAN["last"],
        "created_at": "2026-03-01T00:00:00.000Z",
        "ended_at": None,
        "progress": {**dict.fromkeys(kinds, 0), **counts, "total": total},
    }


def test_plan(headway: Command, api: ApiDouble) -> None:
    api.on("POST /backfills", Reply(PLAN))
    args = ("--from", "2026-02-01", "--only", "missing", "-p", "region=eu", "--every", "1d")
    done = headway("backfill", "plan", "sales", *args)
    assert done.out == (
        "demo/sales: 7 dates, from 2026-02-01 05:00:00Z to 2026-02-07 05:00:00Z;"
        " 3 at a time, oldest first, priority -100\n"
    )
    assert api.asked[0].body == {
        "pipeline": "sales",
        "from": "2026-02-01",
        "every": "1d",
        "params": {"region": "eu"},
        "order": "oldest",
        "only": "missing",
        "max_in_flight": 3,
        "dry_run": True,
    }
    assert headway("backfill", "plan", "sales", *args, "--json").document == PLAN


def test_start_shows_the_plan_and_then_starts(headway: Command, api: ApiDouble) -> None:
    api.on("POST /backfills", [Reply(PLAN), Reply(document(), 202)])
    done = headway("backfill", "start", "sales", "--from", "2026-02-01", "--yes")
    assert (done.status, done.out) == (0, f"{ID}\n")
    assert "7 dates" in done.err
    look, start = api.requests("POST /backfills")
    assert (look.body["dry_run"], "dry_run" in start.body) == (True, False)


def test_start_asks_nobody_who_is_not_there(headway: Command, api: ApiDouble) -> None:
    api.on("POST /backfills", Reply(PLAN))
    done = headway("backfill", "start", "sales", "--from", "2026-02-01")
    assert done.status == 2
    assert "--yes" in done.err
    assert len(api.requests("POST /backfills")) == 1


@pytest.mark.parametrize(("answer", "status", "asked"), [("y\n", 0, 2), ("n\n", 130, 1)])
def test_start_asks_on_a_terminal(
    headway: Command,
    api: ApiDouble,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    status: int,
    asked: int,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(answer))
    api.on("POST /backfills", [Reply(PLAN), Reply(document(), 202)])
    assert headway("backfill", "start", "sales", "--from", "2026-02-01").status == status
    assert len(api.requests("POST /backfills")) == asked


def test_start_with_nothing_to_do_starts_nothing(headway: Command, api: ApiDouble) -> None:
    api.on("POST /backfills", Reply({**PLAN, "only": "missing", "count": 0}))
    done = headway("backfill", "start", "sales", "--from", "2026-02-01", "--yes")
    assert done.status == 0
    assert "nothing to run; none of its 7 dates is missing" in done.err
    assert len(api.requests("POST /backfills")) == 1


def test_a_key_names_a_backfill_without_a_look(headway: Command, api: ApiDouble) -> None:
    api.on("POST /backfills", Reply(document(), 202))
    args = ("--from", "2026-02-01", "--yes", "--key", "k1", "--json")
    assert headway("backfill", "start", "sales", *args).document["id"] == ID
    [asked] = api.asked
    assert asked.headers["idempotency-key"] == "k1"


@pytest.mark.parametrize(
    ("last", "status"),
    [
        (document("done", succeeded=6, filtered=1), 0),
        (document("done", succeeded=6, failed=1), 1),
        (document("cancelled", succeeded=6, waiting=1), 1),
    ],
)
def test_waiting_for_its_end(
    headway: Command, api: ApiDouble, last: dict[str, Any], status: int
) -> None:
    api.on("POST /backfills", [Reply(PLAN), Reply(document(waiting=7), 202)])
    api.on(f"GET /backfills/{ID}", Reply({**last, "dates": [], "next": None}))
    done = headway("backfill", "start", "sales", "--from", "2026-02-01", "--yes", "--wait")
    assert done.status == status
    assert progress_words(last) in done.out


def test_a_backfill_is_followed_through_silence_until_its_runs_have_ended() -> None:
    clock = ManualClock(START + timedelta(minutes=5))
    answers: list[Any] = [
        document(waiting=5, in_flight=2),
        UnavailableError("unreachable", "nobody"),
        document(waiting=4, in_flight=2, succeeded=1),
        document("paused", waiting=4, in_flight=2, succeeded=1),
        document("cancelled", waiting=4, in_flight=2, succeeded=1),
        document("cancelled", waiting=4, cancelled=2, succeeded=1),
    ]

    def ask() -> dict[str, Any]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        found: dict[str, Any] = answer
        return found

    out = io.StringIO()
    last = follow(ask, out, clock, lambda seconds: clock.advance(timedelta(seconds=seconds)))
    assert last["progress"]["cancelled"] == 2
    assert status_of(last) == 1
    assert [line.partition("  ")[2] for line in out.getvalue().splitlines()] == [
        "0 of 7 done, 2 in flight, 5 waiting",
        "",  # nobody answers
        "1 of 7 done, 2 in flight, 4 waiting, some 30 min 12 s left",
        "paused: 1 of 7 done, 2 in flight, 4 waiting",
        "1 of 7 done, 2 in flight, 4 waiting",
        "3 of 7 done, 2 cancelled, 4 waiting",
    ]


def test_a_minute_of_silence_is_the_end_of_patience() -> None:
    clock = ManualClock(START)

    def silence() -> dict[str, Any]:
        raise UnavailableError("unreachable", "nobody")

    with pytest.raises(UnavailableError):
        follow(silence, io.StringIO(), clock, lambda s: clock.advance(timedelta(seconds=s)))
    assert 60 <= clock.monotonic() < 62


def test_what_is_left_is_told_from_what_is_done() -> None:
    clock = ManualClock(START + timedelta(seconds=60))
    assert seconds_left(document(waiting=7), clock) is None
    assert seconds_left(document(waiting=3, in_flight=1, succeeded=3), clock) == 80.0
    assert seconds_left(document("paused", waiting=4, succeeded=3), clock) is None


def test_list_and_show(headway: Command, api: ApiDouble) -> None:
    row = document(waiting=4, in_flight=2, failed=1)
    api.on("GET /backfills", Reply({"backfills": [row], "next": "c1"}))
    date = {
        "logical_date": "2026-02-01T05:00:00.000Z",
        "run": None,
        "state": "refused",
        "reason": "params: no",
    }
    api.on(f"GET /backfills/{ID}", Reply({**row, "dates": [date], "next": "c2"}))
    listed = headway("backfill", "list", "--state", "running")
    assert "1 of 7 done, 1 failed, 2 in flight, 4 waiting" in listed.out
    assert "--cursor c1" in listed.err
    assert api.asked[0].query == {"state": "running", "limit": "20"}
    told = headway("backfill", "show", "latest")
    assert "refused" in told.out
    assert "params: no" in told.out
    assert "--cursor c2" in told.err
    assert headway("backfill", "show", ID, "--json").document["id"] == ID


@pytest.mark.parametrize(
    ("verb", "args", "body", "said"),
    [
        ("pause", (), {}, "paused"),
        ("resume", (), {}, "running"),
        ("cancel", ("--reason", "no"), {"reason": "no", "keep_running": False}, "cancelled; 2 of"),
        ("cancel", ("--keep-running",), {"keep_running": True}, "cancelled; 2 of"),
        ("retry", (), {}, "running; 3 dates run anew"),
    ],
)
def test_verbs(
    headway: Command,
    api: ApiDouble,
    verb: str,
    args: tuple[str, ...],
    body: dict[str, Any],
    said: str,
) -> None:
    answers: dict[str, dict[str, Any]] = {
        "pause": {"state": "paused"},
        "resume": {"state": "running"},
        "cancel": {"state": "cancelled", "cancelled_runs": 2},
        "retry": {"state": "running", "retried": 3},
    }
    api.on(f"POST /backfills/{ID}/{verb}", Reply({"id": ID, **answers[verb]}))
    done = headway("backfill", verb, ID, *args)
    assert (done.status, api.asked[0].body) == (0, body)
    assert f"backfill {ID} is {said}" in done.out
    assert headway("backfill", verb, ID, *args, "--json").document["id"] == ID


def test_what_does_not_fit_is_a_refusal(headway: Command, api: ApiDouble) -> None:
    api.on(f"POST /backfills/{ID}/pause", problem(409, "backfill_state", "it is done"))
    done = headway("backfill", "pause", ID, "--json")
    assert (done.status, done.document["error"]["code"]) == (4, "backfill_state")


@pytest.mark.parametrize(
    ("before", "changed", "said"),
    [(3, True, "8 at a time, formerly 3"), (8, False, "8 at a time already")],
)
def test_set(headway: Command, api: ApiDouble, before: int, changed: bool, said: str) -> None:
    answer = {"id": ID, "max_in_flight": 8, "before": before, "changed": changed}
    api.on(f"PATCH /backfills/{ID}", Reply(answer))
    done = headway("backfill", "set", ID, "--max-in-flight", "8")
    assert (done.status, done.out) == (0, f"backfill {ID}: {said}\n")
    assert api.asked[0].body == {"max_in_flight": 8}
    assert headway("backfill", "set", ID, "--max-in-flight", "8", "--json").document == answer
    assert headway("backfill", "set", ID).status == 2
