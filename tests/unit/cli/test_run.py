"""`run`, with and without `--wait`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Command
from tests.unit.cli.documents import ID, STARTED, attempt, run_of, step
from tests.unit.cli.test_definitions import GOOD
from tests.unit.client.api_double import ApiDouble, Reply, problem


@pytest.fixture
def started(api: ApiDouble) -> ApiDouble:
    api.on("POST /runs", Reply(STARTED, 202))
    return api


def test_the_id_alone_goes_to_stdout(headway: Command, started: ApiDouble) -> None:
    done = headway("run", "weather", "-p", "unit=celsius", "--team", "demo")
    assert (done.status, done.out) == (0, f"{ID}\n")
    assert started.asked[0].body == {
        "pipeline": "weather",
        "team": "demo",
        "params": {"unit": "celsius"},
    }
    assert headway("run", "weather", "--json").document == STARTED


def test_parameters_from_a_file_and_from_the_line(
    headway: Command, started: ApiDouble, tmp_path: Path
) -> None:
    file = tmp_path / "params.json"
    file.write_text(json.dumps({"unit": "celsius", "days": [1, 2]}))
    headway("run", "weather", "-p", f"@{file}", "-p", "unit=a=b", "--key", "k1")
    assert started.asked[0].body["params"] == {"unit": "a=b", "days": [1, 2]}
    assert started.asked[0].headers["idempotency-key"] == "k1"


@pytest.mark.parametrize("content", ["[1]", "no json", "[" * 100_000])
def test_a_parameter_file_of_another_shape(
    headway: Command, started: ApiDouble, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "params.json"
    file.write_text(content)
    done = headway("run", "weather", "-p", f"@{file}", "--json")
    assert (done.status, done.document["error"]["code"]) == (2, "invalid_params")
    assert started.asked == []


def test_a_file_is_applied_first(headway: Command, started: ApiDouble, tmp_path: Path) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(GOOD)
    started.on("POST /pipelines", Reply({"applied": []}))
    assert headway("run", str(file)).status == 0
    assert [each.path for each in started.asked] == ["/pipelines", "/runs"]
    assert started.asked[1].body == {"pipeline": "good", "team": "demo", "params": {}}


def test_a_file_of_two_pipelines_leaves_open_which(
    headway: Command, started: ApiDouble, tmp_path: Path
) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(f"{GOOD}---\n{GOOD.replace('good', 'other')}")
    done = headway("run", str(file))
    assert done.status == 2
    assert "defines 2 pipelines" in done.err
    assert started.asked == []


def test_a_file_of_another_team(headway: Command, started: ApiDouble, tmp_path: Path) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(GOOD)
    assert headway("run", str(file), "--team", "other").status == 2
    assert started.asked == []


def test_wait_tells_each_transition_and_the_result(headway: Command, started: ApiDouble) -> None:
    failed = attempt(1, "failed", error={"code": "exit_status", "message": "exited with 75"})
    again = {**step("fetch", "retry_wait"), "attempts": [failed]}
    done_step = step(
        "fetch",
        attempts=[failed, attempt(2)],
        outputs={"bytes": 12},
        artifacts=[{"path": "a.csv", "size": 2048, "sha256": "0" * 64}],
    )
    started.on(
        f"GET /runs/{ID}",
        [
            Reply(run_of(state="queued")),
            Reply(run_of(step("fetch", "running"), state="running")),
            Reply(run_of(again, state="running")),
            Reply(run_of(done_step)),
        ],
    )
    done = headway("run", "weather", "--wait")
    assert done.status == 0
    progress = [line.split("  ", 1)[1] for line in done.err.splitlines()]
    assert progress == [
        f"run  ◷ queued  {ID}",
        "fetch  ▶ running, attempt 1",
        "run  ▶ running",
        "fetch  ↻ retry wait, exited with 75",
        "fetch  ✓ succeeded, attempt 2, after 2.0 s",
        "run  ✓ succeeded",
    ]
    assert done.out.splitlines() == [
        f"weather {ID}: ✓ succeeded in 3.5 s",
        "outputs:",
        "  fetch.bytes = 12",
        "artifacts:",
        "  fetch: a.csv (2.0 kB)",
        f"page: {started.url}/r/{ID}",
    ]


def test_wait_as_json(headway: Command, started: ApiDouble) -> None:
    started.on(f"GET /runs/{ID}", Reply(run_of(step("a", outputs={"n": 1}))))
    done = headway("run", "weather", "--wait", "--json")
    assert done.document == {
        **STARTED,
        "state": "succeeded",
        "steps": {"a": {"state": "succeeded", "attempts": 1, "reason": None, "outputs": {"n": 1}}},
    }


@pytest.mark.parametrize("state", ["failed", "cancelled", "timed_out"])
def test_wait_for_a_run_that_does_not_succeed(
    headway: Command, started: ApiDouble, state: str
) -> None:
    error = {"code": "exit_status", "message": "exited with status 3\nand more"}
    broken = step("a", "failed", error=error)
    started.on(f"GET /runs/{ID}", Reply(run_of(broken, step("b", "upstream_failed"), state=state)))
    done = headway("run", "weather", "--wait")
    assert done.status == 1
    assert "a: ✕ failed, after 2.0 s, exited with status 3\n" in done.out
    assert "b: ⇣ upstream failed" in done.out


def test_a_succeeded_run_does_not_hide_an_allowed_failure(
    headway: Command, started: ApiDouble
) -> None:
    started.on(f"GET /runs/{ID}", Reply(run_of(step("a", "failed"), step("b"))))
    done = headway("run", "weather", "--wait")
    assert done.status == 0
    assert "✓ succeeded, 1 failed (allowed)" in done.out


def test_wait_outlives_a_coordinator(headway: Command, started: ApiDouble) -> None:
    away = problem(503, "database_unavailable", "no database")
    started.on(f"GET /runs/{ID}", [away, away, away, Reply(run_of())])
    done = headway("run", "weather", "--wait")
    assert done.status == 0
    assert done.err.count("asking again for up to 60 s") == 1
    assert "it answers again" in done.err


def test_wait_stops_at_a_refusal(headway: Command, started: ApiDouble) -> None:
    started.on(f"GET /runs/{ID}", problem(401, "token_revoked", "the token is revoked"))
    assert headway("run", "weather", "--wait").status == 4


def test_wait_ends_when_the_run_is_set_aside(headway: Command, started: ApiDouble) -> None:
    stuck = run_of(step("a", "running"), state="running", quarantine="an illegal move")
    started.on(f"GET /runs/{ID}", Reply(stuck))
    done = headway("run", "weather", "--wait")
    assert done.status == 1
    assert "set aside, it will not move: an illegal move" in done.err
    assert "! set aside (▶ running)" in done.out


def test_a_wrong_parameter_has_no_place_in_a_file(headway: Command, api: ApiDouble) -> None:
    place = {"file": "params", "line": 0, "column": 0, "code": "bad_value", "hint": None}
    wrong = {**place, "message": "`i`: `abc` is not a whole number"}
    api.on("POST /runs", problem(422, "invalid_params", "wrong", problems=[wrong]))
    done = headway("run", "weather", "-p", "i=abc", "--json")
    assert (done.status, done.err) == (2, "params: `i`: `abc` is not a whole number\n")
    assert done.document["error"]["problems"] == [wrong]


@pytest.mark.parametrize("as_json", [False, True])
def test_an_interrupted_wait_prints_the_id_and_leaves_the_run(
    started: ApiDouble, as_json: bool, tmp_path: Path
) -> None:
    started.on(f"GET /runs/{ID}", Reply(run_of(state="running")))
    command = [sys.executable, "-c", "from headway.cli.main import main; main()"]
    command += ["run", "weather", "--wait", *(["--json"] if as_json else [])]
    env = {**os.environ, "HEADWAY_STATE_DIR": str(tmp_path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    ) as child:
        try:
            started.wait_for(f"GET /runs/{ID}", 2)
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=40)
        finally:
            child.kill()
    assert child.returncode == 130
    assert (json.loads(out) if as_json else out) == (STARTED if as_json else f"{ID}\n")
    assert "the run goes on" in err
    assert started.requests(f"POST /runs/{ID}/cancel") == []
