"""`runs …`: lists, details, reasons, logs and files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Command
from tests.unit.cli.documents import ID, attempt, run_of, step
from tests.unit.client.api_double import ApiDouble, Asked, Reply, problem

OTHER = "01kf0000000000000000000002"


def test_list(headway: Command, api: ApiDouble) -> None:
    api.on("GET /runs", Reply({"runs": [run_of()], "next": "c1"}))
    done = headway("runs", "list", "--state", "failed", "--pipeline", "weather", "--limit", "7")
    assert done.status == 0
    assert ID in done.out
    assert "--cursor c1" in done.err
    assert api.asked[0].query == {"state": "failed", "pipeline": "weather", "limit": "7"}
    assert headway("runs", "list", "--json").document == {"runs": [run_of()], "next": "c1"}


def test_an_empty_list_says_so(headway: Command, api: ApiDouble) -> None:
    api.on("GET /runs", Reply({"runs": [], "next": None}))
    assert headway("runs", "list").out == "no runs\n"


def test_show(headway: Command, api: ApiDouble) -> None:
    failed = step("fetch", "failed", error={"code": "exit_status", "message": "exited with 3"})
    api.on(f"GET /runs/{ID}", Reply(run_of(failed, state="failed", reason="step_failed")))
    done = headway("runs", "show", ID)
    assert done.status == 0
    assert "exited with 3" in done.out
    assert "unit=celsius" in done.out
    assert "started by ada, 2026-01-01 00:00:00Z" in done.out
    document = headway("runs", "show", ID, "--json").document
    assert document["steps"][0]["attempts"][0]["no"] == 1


@pytest.mark.parametrize("name", ["01kf0000000000000000000001", "latest"])
def test_short_names(headway: Command, api: ApiDouble, name: str) -> None:
    api.on("GET /runs", Reply({"runs": [{"id": ID}, {"id": OTHER}], "next": None}))
    api.on(f"GET /runs/{ID}", Reply(run_of()))
    assert headway("runs", "show", name, "--json").document["id"] == ID


def test_the_beginning_of_an_id(headway: Command, api: ApiDouble) -> None:
    api.on("GET /runs", Reply({"runs": [{"id": ID}, {"id": "zz" + OTHER[2:]}], "next": None}))
    api.on(f"GET /runs/{ID}", Reply(run_of()))
    assert headway("runs", "show", "01kf00").status == 0
    assert headway("runs", "show", "abcdef").status == 4


def test_an_ambiguous_beginning(headway: Command, api: ApiDouble) -> None:
    api.on("GET /runs", Reply({"runs": [{"id": ID}, {"id": OTHER}], "next": None}))
    done = headway("runs", "show", "01kf00", "--json")
    assert (done.status, done.document["error"]["code"]) == (4, "ambiguous")


def test_explain(headway: Command, api: ApiDouble) -> None:
    blocker = {
        "code": "no_worker",
        "since": "2026-01-01T00:00:00.000Z",
        "subject": "demo.large",
        "message": "no worker serves demo.large",
    }
    document = {"steps": [{"step": "clean", "blockers": [blocker]}, {"step": "x", "blockers": []}]}
    api.on(f"GET /runs/{ID}/explain", Reply(document))
    assert headway("runs", "explain", ID).out.splitlines() == [
        "clean:",
        "  no worker serves demo.large [no_worker, since 2026-01-01 00:00:00Z]",
    ]
    assert headway("runs", "explain", ID, "--json").document == document


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_verbs(headway: Command, api: ApiDouble, verb: str) -> None:
    api.on(f"POST /runs/{ID}/{verb}", Reply({"id": ID, "inbox": 7}, 202))
    assert headway("runs", verb, ID).status == 0
    assert headway("runs", verb, ID, "--json").document == {"id": ID, "inbox": 7}


def test_a_retry_that_is_waited_for_is_not_taken_for_ended_before_it_began(
    headway: Command, api: ApiDouble
) -> None:
    ended = run_of(step("a", "failed"), state="failed", retries=2)
    again = run_of(step("a", "running"), state="running", retries=3)
    api.on(f"POST /runs/{ID}/retry", Reply({"id": ID, "inbox": 7}, 202))
    done = run_of(step("a"), retries=3)
    api.on(f"GET /runs/{ID}", [*map(Reply, (ended, ended, ended, again, done))])
    answer = headway("runs", "retry", ID, "--wait", "--json")
    assert (answer.status, answer.document["state"]) == (0, "succeeded")
    assert answer.document["inbox"] == 7


def test_cancel_says_why(headway: Command, api: ApiDouble) -> None:
    api.on(f"POST /runs/{ID}/cancel", Reply({"id": ID, "inbox": 7}, 202))
    headway("runs", "cancel", ID, "--reason", "wrong day")
    assert api.asked[0].body == {"reason": "wrong day"}


LOGS = {("a", "1"): b"one\ntwo\n", ("a", "2"): b"three\n", ("b", "1"): b"no end"}


def _logs(asked: Asked) -> Reply:
    """Serve at most 5 bytes at a time, as a store of chunks does."""
    text = LOGS[asked.query["step"], asked.query["attempt"]]
    offset = int(asked.query["offset"])
    piece = text[offset : offset + 5]
    return Reply(raw=piece, headers={"X-Headway-Next-Offset": str(offset + len(piece))})


@pytest.fixture
def with_logs(api: ApiDouble) -> ApiDouble:
    first = step("a", attempts=[attempt(1, "failed"), attempt(2)])
    api.on(f"GET /runs/{ID}", Reply(run_of(first, step("b"), step("c", "pending"))))
    api.on(f"GET /runs/{ID}/logs", _logs)
    return api


def test_logs_of_one_step_are_its_last_attempt_as_it_was(
    headway: Command, with_logs: ApiDouble
) -> None:
    assert headway("runs", "logs", ID, "a").out == "three\n"
    assert headway("runs", "logs", ID, "a", "--attempt", "1").out == "one\ntwo\n"
    assert headway("runs", "logs", ID, "c").out == ""


def test_logs_of_a_run_name_the_step_on_each_line(headway: Command, with_logs: ApiDouble) -> None:
    assert headway("runs", "logs", ID).out == "a | three\nb | no end\n"


def test_following_reads_every_attempt_and_ends_with_the_run(
    headway: Command, with_logs: ApiDouble
) -> None:
    running = step("a", "running", attempts=[attempt(1, "running")])
    ended = step("a", attempts=[attempt(1, "failed"), attempt(2)])
    with_logs.on(
        f"GET /runs/{ID}",
        [Reply(run_of(running, state="running")), Reply(run_of(ended, step("b")))],
    )
    assert headway("runs", "logs", ID, "--follow").out == (
        "a | one\na | two\na | three\nb | no end\n"
    )


def test_logs_as_json(headway: Command, with_logs: ApiDouble) -> None:
    document = headway("runs", "logs", ID, "a", "--json").document
    assert document == {"id": ID, "step": "a", "attempt": None, "text": "three\n"}


def test_logs_of_a_step_that_is_not_there(headway: Command, with_logs: ApiDouble) -> None:
    assert headway("runs", "logs", ID, "nope").status == 4


def test_artifacts(headway: Command, api: ApiDouble, tmp_path: Path) -> None:
    file = {"path": "out/report.html", "size": 5, "sha256": "0" * 64}
    api.on(f"GET /runs/{ID}", Reply(run_of(step("report", artifacts=[file]))))
    api.on(f"GET /artifacts/{ID}/report", Reply(raw=b"hello"))
    assert "out/report.html" in headway("runs", "artifacts", ID).out
    done = headway("runs", "artifacts", ID, "--save", str(tmp_path / "got"), "--json")
    assert done.document == {"artifacts": [{"step": "report", **file}]}
    assert (tmp_path / "got/report/out/report.html").read_bytes() == b"hello"
    assert list((tmp_path / "got").rglob("*.part")) == []


def test_artifacts_of_a_step_that_is_not_there(headway: Command, api: ApiDouble) -> None:
    api.on(f"GET /runs/{ID}", Reply(run_of(step("report"))))
    done = headway("runs", "artifacts", ID, "nope", "--json")
    assert (done.status, done.document["error"]["code"]) == (4, "not_found")


@pytest.mark.parametrize("path", ["../escape", "/etc/escape", "a/../../../escape"])
def test_an_artifact_cannot_leave_the_folder(
    headway: Command, api: ApiDouble, tmp_path: Path, path: str
) -> None:
    file = {"path": path, "size": 5, "sha256": "0" * 64}
    api.on(f"GET /runs/{ID}", Reply(run_of(step("report", artifacts=[file]))))
    api.on(f"GET /artifacts/{ID}/report", Reply(raw=b"hello"))
    done = headway("runs", "artifacts", ID, "--save", str(tmp_path / "got"))
    assert done.status == 4
    assert not list(tmp_path.rglob("escape"))


def test_a_run_that_is_set_aside_is_marked(headway: Command, api: ApiDouble) -> None:
    stuck = run_of(step("a", "running"), state="running", quarantine="an illegal move")
    api.on("GET /runs", Reply({"runs": [stuck], "next": None}))
    api.on(f"GET /runs/{ID}", Reply(stuck))
    assert "! set aside (▶ running)" in headway("runs", "list").out
    shown = headway("runs", "show", ID).out
    assert "! set aside (▶ running)\nset aside: an illegal move\n" in shown
    assert "start a new run" in shown


def test_the_logs_of_a_run_that_is_set_aside_end(headway: Command, api: ApiDouble) -> None:
    stuck = run_of(step("a", "pending"), state="running", quarantine="an illegal move")
    api.on(f"GET /runs/{ID}", Reply(stuck))
    assert headway("runs", "logs", ID, "-f").status == 0


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_a_run_that_is_set_aside_refuses(headway: Command, api: ApiDouble, verb: str) -> None:
    refusal = problem(409, "quarantined", "the run is set aside", hint="start a new run")
    api.on(f"POST /runs/{ID}/{verb}", refusal)
    done = headway("runs", verb, ID, "--json")
    assert (done.status, done.document["error"]["code"]) == (4, "quarantined")
    assert "hint: start a new run" in done.err
