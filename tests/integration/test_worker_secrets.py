"""A worker without Celery: what a step prints, returns and raises is cleared of secrets."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from headway.protocol.messages import Completion, Outcome, StepError
from tests.integration.test_worker_attempts import Bench, bench, double
from tests.unit.worker.double import Double

__all__ = ["bench", "double"]

SECRET = "s3cr3t/with+odd 'chars"
ENV: dict[str, Any] = {
    "body": {"env": {"TOKEN": "secret://token"}},
    "secrets": [{"name": "token", "at": ["env", "TOKEN"], "start": 0}],
}


def run(bench: Bench, kind: str, do: Any, **more: Any) -> Completion:
    bench.double.secrets = {"token": SECRET}
    body = {**ENV["body"], **more.pop("body", {})}
    return bench.run(kind, do, body=body, secrets=more.pop("secrets", ENV["secrets"]), **more)


def log_of(double: Double) -> str:
    return double.logs.get("a-1-1", b"").decode()


def test_a_script_is_given_the_value_and_its_output_loses_it(bench: Bench) -> None:
    script = 'echo "[$TOKEN]"; printf "%s" "${TOKEN:0:7}"; printf "%s\\n" "${TOKEN:7}"; '
    script += 'echo "n=${#TOKEN}" > $HEADWAY_OUTPUT; echo "t=x $TOKEN" >> $HEADWAY_OUTPUT'
    ended = run(bench, "run", script, body={"outputs": {"n": "int", "t": "string"}})
    assert ended.outputs == {"n": len(SECRET), "t": "x ***"}
    assert log_of(bench.double) == "[***]\n***\n"
    assert ended.log_bytes == len("[***]\n***\n")
    assert bench.double.gaps == []


def test_a_failure_s_last_line_is_cleared_although_it_has_no_end(bench: Bench) -> None:
    ended = run(bench, "run", 'printf "failed with %s" "$TOKEN"; exit 3')
    assert ended.error is not None
    assert ended.error.message == "exited with status 3: failed with ***"
    assert log_of(bench.double) == "failed with ***"


def test_a_traceback_is_cleared(bench: Bench) -> None:
    (bench.code / "steps.py").write_text(
        "import os\n"
        "def f(token):\n"
        "    assert token == os.environ['TOKEN']\n"
        "    raise ValueError(f'no {token!r}')\n"
    )
    ended = run(
        bench,
        "python",
        "steps:f",
        body={"with": {"token": "secret://token"}},
        secrets=[*ENV["secrets"], {"name": "token", "at": ["with", "token"], "start": 0}],
    )
    assert ended.error is not None
    assert ended.error.code == "exception"
    assert "s3cr3t" not in ended.model_dump_json() + log_of(bench.double)
    assert "***" in ended.error.message
    assert "***" in (ended.error.detail or "")


def test_names_of_files_are_cleared_and_contents_are_not(bench: Bench) -> None:
    bench.double.secrets = {"token": "s3cr3t-name"}
    body = {**ENV["body"], "artifacts": ["*.txt"]}
    script = 'echo "$TOKEN" > "$HEADWAY_WORKDIR/a-$TOKEN.txt"'
    ended = bench.run("run", script, body=body, secrets=ENV["secrets"])
    assert [ref.path for ref in ended.artifacts] == ["a-***.txt"]
    assert list(bench.double.stored.values()) == [b"s3cr3t-name\n"]


def test_two_files_that_differ_by_a_secret_alone_are_refused(bench: Bench) -> None:
    bench.double.secrets = {"token": "s3cr3t-name"}
    body = {**ENV["body"], "artifacts": ["*.txt"]}
    script = 'cd $HEADWAY_WORKDIR; touch "$TOKEN.txt" "***.txt"'
    ended = bench.run("run", script, body=body, secrets=ENV["secrets"])
    assert ended.error is not None
    assert ended.error.code == "bad_artifact"


def test_an_answer_s_echo_of_a_secret_is_cleared(bench: Bench) -> None:
    use = {"name": "token", "at": ["http", "url"], "start": len(bench.double.url) + 1}
    request = {"url": f"{bench.double.url}/secret://token"}
    ended = run(bench, "http", request, secrets=[use])
    assert ended.error is not None
    assert ended.error.message == f"GET {bench.double.url}/*** answered 404"
    assert "s3cr3t" not in log_of(bench.double) + ended.model_dump_json()


def test_a_claim_that_brings_a_failure_is_reported_and_nothing_runs(bench: Bench) -> None:
    bench.double.failure = StepError(code="secret_missing", message="it is not set")
    ended = bench.run("run", "touch ran", **ENV)
    assert (ended.outcome, ended.error) == (Outcome.FAILED, bench.double.failure)
    assert not (bench.code / "ran").exists()


def test_a_value_that_did_not_come_fails_the_step(bench: Bench) -> None:
    ended = bench.run("run", "touch ran", **ENV)
    assert ended.error is not None
    assert ended.error.code == "secret_missing"
    assert not (bench.code / "ran").exists()


def test_a_defect_s_story_is_cleared(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(work: Any, context: Any) -> Any:
        raise RuntimeError(f"cannot use {context.env['TOKEN']}")

    executor = bench.attempts._ports.executors["run"]
    monkeypatch.setattr(executor, "perform", broken)
    with capture_logs() as logged:
        ended = run(bench, "run", "true")
    assert ended.error is not None
    assert ended.error.message == "RuntimeError: cannot use ***"
    [story] = [entry["story"] for entry in logged if entry["event"] == "attempt_broke"]
    assert "cannot use ***" in story
    assert "s3cr3t" not in str(logged)


def test_numbers_that_are_struck_out_may_not_become_too_large(bench: Bench) -> None:
    bench.double.secrets = {"token": "1111"}
    (bench.code / "steps.py").write_text("def f(): return {'n': [1111] * 50_000}\n")
    ended = bench.run("python", "steps:f", **ENV)
    assert ended.error is not None
    assert ended.error.code == "outputs_too_large"
