"""Attempts from dispatch to report, without Celery and broker: what each end is reported as."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from headway.clock import SystemClock
from headway.outgoing.addresses import LOOPBACK, Allowed
from headway.protocol.messages import Completion, Dispatch, Outcome
from headway.refusals import Refusals
from headway_worker.api import Api
from headway_worker.artifacts import ArtifactTransfer
from headway_worker.attempt import Attempts, Ports
from headway_worker.claims import Claims
from headway_worker.environment import base_environment
from headway_worker.executors.registry import executors
from headway_worker.identity import Identity
from headway_worker.journal import Journal
from headway_worker.logs import LogShipper
from headway_worker.reporter import Reporter
from headway_worker.roster import Roster
from headway_worker.runner.interpreters import Interpreters
from headway_worker.runner.spawner import Spawner
from headway_worker.scratch import ScratchFolders
from headway_worker.spool import Spool
from tests.servers.waiting import wait_until
from tests.unit.worker.double import TOKEN, Double


class NoBroker:
    """Loses everything, so that each completion comes by HTTP."""

    def publish(self, bodies: Sequence[str]) -> None:
        """Say that it went well."""

    def close(self) -> None:
        """Nothing is held."""


class Bench:
    """All of a worker but Celery."""

    def __init__(self, folder: Path, double: Double) -> None:
        self.double = double
        self.folder = folder
        clock = SystemClock()
        identity = Identity("w1", "b1", "host", "m1", folder)
        self._apis = [Api((double.url,), TOKEN, timeout=10) for _ in range(4)]
        self._spawner = Spawner()
        self._spawner.start()
        env = base_environment(os.environ, [])
        self._interpreters = Interpreters(self._spawner, env, clock, keep=1)
        self.spool = Spool(folder / "spool", limit_bytes=1 << 20)
        self._reporter = Reporter(
            self.spool, NoBroker(), self._apis[0], clock, patience=timedelta(0)
        )
        self._logs = LogShipper(self._apis[1], identity)
        self._journal = Journal(folder / "journal", boot="b1", machine_boot="m1", slots=1)
        self.code = folder / "code"
        self.code.mkdir()
        scratch = ScratchFolders(folder / "scratch", clock)
        scratch.prepare()
        self.roster = Roster(1)
        self.refusals = Refusals()
        self.attempts = Attempts(
            Ports(
                claims=Claims(
                    self._apis[2],
                    identity,
                    clock,
                    patience=timedelta(0),
                    stopping=threading.Event(),
                ),
                refusals=self.refusals,
                executors=executors(self._spawner, self._interpreters, Allowed.parse(LOOPBACK)),
                roster=self.roster,
                journal=self._journal,
                logs=self._logs,
                spool=self.spool,
                reporter=self._reporter,
                transfer=lambda claim, token, redactor: ArtifactTransfer(
                    self._apis[3],
                    attempt=claim.attempt,
                    fence=claim.fence,
                    token=token,
                    redactor=redactor,
                ),
                identity=identity,
                clock=clock,
                scratch=scratch,
                base_env=env,
                code=self.code,
            )
        )
        self._reporter.start()
        self._logs.start()

    def handle(self, attempt: str) -> None:
        self.attempts.handle(
            Dispatch(
                team="analytics",
                run="run1",
                step="s",
                attempt=attempt,
                fence=1,
                dispatch_no=1,
                queue="analytics.small",
            )
        )

    def run(self, kind: str, do: Any, **more: Any) -> Completion:
        """Return how a step of one kind ended."""
        self.double.add("a-1-1", kind, do=do, **more)
        self.handle("a-1-1")
        self.double.wait(lambda: "a-1-1" in self.double.completions)
        return self.double.completions["a-1-1"]

    def close(self) -> None:
        self._logs.stop()
        self._reporter.close()
        self._interpreters.close()
        self._spawner.close()
        self.spool.close()
        self._journal.close()
        for api in self._apis:
            api.close()


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as made:
        yield made


@pytest.fixture
def bench(tmp_path: Path, double: Double) -> Iterator[Bench]:
    made = Bench(tmp_path, double)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("script", "body", "code", "named"),
    [
        ("exit 3", {}, "exit_status", "exited with status 3"),
        ("kill -9 $$", {}, "exit_status", "was killed by SIGKILL"),
        ("echo x=1 > $HEADWAY_OUTPUT", {}, "undeclared_output", "outputs: {x: string}"),
        ("true", {"outputs": {"x": "int"}}, "missing_output", "its output x"),
        ("echo x=y > $HEADWAY_OUTPUT", {"outputs": {"x": "int"}}, "bad_output", "type int"),
        ("echo nonsense > $HEADWAY_OUTPUT", {}, "bad_output", "line 1"),
        ("true", {"artifacts": ["report.csv"]}, "missing_artifact", "report.csv"),
        ("true", {"workdir": "no/such"}, "cannot_start", "no/such"),
        (
            "ln -s /etc/passwd $HEADWAY_WORKDIR/x",
            {"artifacts": ["x"]},
            "bad_artifact",
            "x is a link",
        ),
        (
            "head -c 300000 /dev/zero | tr '\\0' x | sed 's/^/x=/' > $HEADWAY_OUTPUT",
            {"outputs": {"x": "string"}},
            "outputs_too_large",
            "262144",
        ),
    ],
)
def test_a_shell_step_s_failure_has_a_code_and_a_reason(
    bench: Bench, script: str, body: dict[str, Any], code: str, named: str
) -> None:
    ended = bench.run("run", script, body=body)
    assert ended.outcome is Outcome.FAILED
    assert ended.error is not None
    assert ended.error.code == code
    assert named in ended.error.message


@pytest.mark.parametrize(
    ("source", "body", "code"),
    [
        ("def f(): raise ValueError('no')", {}, "exception"),
        ("def f(): return 5", {}, "bad_output"),
        ("def f(): return {'x': 'y'}", {"outputs": {"x": "int"}}, "bad_output"),
        ("def f(): return {'y': 1}", {"outputs": {"x": "int"}}, "undeclared_output"),
        ("def f(): return {}", {"outputs": {"x": "int"}}, "missing_output"),
        ("def f(): return {'x': 'x' * 300_000}", {}, "outputs_too_large"),
        ("def f(a): return {}", {}, "bad_arguments"),
        ("import os\ndef f(): os._exit(4)", {}, "exit_status"),
        ("syntax error", {}, "import_error"),
        ("def f(): return {}", {"interpreter": "/no/python"}, "cannot_start"),
        ("def f(): return {}", {"interpreter": "/bin/true"}, "exit_status"),
    ],
)
def test_a_python_step_s_failure_has_a_code(
    bench: Bench, source: str, body: dict[str, Any], code: str
) -> None:
    (bench.code / "steps.py").write_text(source)
    ended = bench.run("python", "steps:f", body=body)
    assert ended.outcome is Outcome.FAILED
    assert ended.error is not None
    assert ended.error.code == code


def test_a_python_step_without_declared_outputs_gives_what_it_returns(bench: Bench) -> None:
    (bench.code / "steps.py").write_text("def f(n): return {'rows': n}")
    body = {"with": {"n": 3}, "interpreter": sys.executable}
    assert bench.run("python", "steps:f", body=body).outputs == {"rows": 3}


def test_edited_code_runs_at_once(bench: Bench) -> None:
    (bench.code / "steps.py").write_text("def f(): return {'version': 1}")
    bench.double.add("b-1-1", "python", do="steps:f")
    bench.handle("b-1-1")
    (bench.code / "steps.py").write_text("def f(): return {'version': 'two'}")
    assert bench.run("python", "steps:f").outputs == {"version": "two"}


def test_a_pipeline_s_own_code_folder_is_relative_to_the_worker_s(bench: Bench) -> None:
    (bench.code / "sub" / "deep").mkdir(parents=True)
    ended = bench.run(
        "run",
        'echo "cwd=$PWD" > $HEADWAY_OUTPUT',
        code="sub",
        body={"workdir": "deep", "outputs": {"cwd": "string"}},
    )
    assert ended.outputs == {"cwd": str(bench.code / "sub" / "deep")}


def test_an_unknown_kind_is_a_failure(bench: Bench) -> None:
    ended = bench.run("carrier_pigeon", "coo")
    assert ended.error is not None
    assert ended.error.code == "unknown_kind"


def test_an_http_step_s_status_decides(bench: Bench) -> None:
    ended = bench.run("http", {"url": f"{bench.double.url}/none"})
    assert ended.error is not None
    assert ended.error.code == "http_status"
    assert "answered 404" in ended.error.message


def test_an_http_step_s_body_is_an_output_when_declared(bench: Bench) -> None:
    bench.double.stored["page"] = b'{"rows": 3}'
    request = {"url": f"{bench.double.url}/page"}
    ended = bench.run("http", request, body={"outputs": {"body": "object"}})
    assert ended.outputs == {"status": 200, "body": {"rows": 3}}


def test_an_http_step_without_an_answer_fails(bench: Bench) -> None:
    ended = bench.run("http", {"url": "http://127.0.0.1:9/"})
    assert ended.error is not None
    assert ended.error.code == "http_error"


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://[::ffff:a00:1]/"],
)
def test_an_http_step_does_not_reach_inside(bench: Bench, url: str) -> None:
    ended = bench.run("http", {"url": url})
    assert ended.error is not None
    assert ended.error.code == "http_refused"
    assert "HEADWAY_HTTP_ALLOW" in ended.error.message


def test_an_http_step_follows_no_redirect(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_redirect, args=(server,), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        ended = bench.run(
            "http", {"url": url, "expect": [302]}, body={"outputs": {"body": "string"}}
        )
    assert ended.outputs == {"status": 302, "body": "moved"}


def _redirect(server: socket.socket) -> None:
    asked, _ = server.accept()
    with asked:
        asked.recv(65_536)
        location = b"Location: http://169.254.169.254/\r\n"
        asked.sendall(b"HTTP/1.1 302 Found\r\n" + location + b"Content-Length: 5\r\n\r\nmoved")


@pytest.mark.parametrize("own", [True, False])
def test_an_answer_that_trickles_in_does_not_outlast_the_timeout(bench: Bench, own: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_trickle, args=(server,), daemon=True).start()
        request: dict[str, Any] = {"url": f"http://127.0.0.1:{server.getsockname()[1]}/"}
        if own:
            ended = bench.run("http", {**request, "timeout": 0.3})
        else:
            ended = bench.run("http", request, timeout_ms=300)
    assert ended.outcome is (Outcome.FAILED if own else Outcome.TIMED_OUT)


def _trickle(server: socket.socket) -> None:
    """Answer with headers that never end, a byte at a time."""
    asked, _ = server.accept()
    pause = threading.Event()
    with asked, contextlib.suppress(OSError):
        asked.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not pause.wait(0.05):
            asked.sendall(b"x")


def test_an_input_whose_content_is_another_fails_the_step(bench: Bench) -> None:
    bench.double.stored["0" * 64] = b"something else"
    ref = {"path": "a", "sha256": "0" * 64, "size": 14}
    ended = bench.run("run", "true", inputs={"raw": [ref]})
    assert ended.error is not None
    assert ended.error.code == "bad_input"


def test_nothing_is_claimed_when_its_end_might_not_be_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.spool, "wait_for_room", lambda _seconds: False)
    bench.double.add("a-1-1")
    bench.handle("a-1-1")
    assert bench.double.claims == []


def test_an_ended_attempt_is_not_claimed_again_before_its_end_is_known(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.spool, "discard", lambda _attempts: None)
    bench.run("run", "true")
    bench.handle("a-1-1")
    assert bench.double.claims == ["a-1-1"]


def test_an_attempt_whose_report_was_taken_but_not_applied_is_not_performed_again(
    bench: Bench,
) -> None:
    """The report lies in the inbox and no leader is there: a claim would be answered as before."""
    bench.run("run", "true")
    wait_until(lambda: not bench.spool.pending(), what="the acknowledgement")
    del bench.double.completions["a-1-1"]
    bench.handle("a-1-1")
    assert bench.double.claims == ["a-1-1"]
    assert bench.refusals.counts()["repeated"] == 1


def test_dispatches_that_are_replayed_or_late_are_counted_and_told_once_a_kind(
    bench: Bench,
) -> None:
    bench.run("run", "true")
    with capture_logs() as logs:
        for _ in range(3):
            bench.handle("a-1-1")
            bench.handle("of-another-1")
    counts = bench.refusals.counts()
    assert (counts["repeated"], counts["stale"]) == (3, 3)
    told = [(log["log_level"], log["kind"]) for log in logs if log["event"] == "message_refused"]
    assert told == [("info", "repeated"), ("info", "stale")]


def test_nothing_of_an_attempt_is_left(bench: Bench) -> None:
    bench.run("run", "touch $HEADWAY_WORKDIR/x; mkdir -p $HEADWAY_WORKDIR/y/z")
    assert bench.roster.held() == []
    assert list((bench.folder / "scratch").iterdir()) == []
    again = Journal(bench.folder / "journal", boot="b2", machine_boot="m1", slots=1)
    assert again.left == []
    again.close()
