"""`headway run FILE --local`: real engine, real steps, no server, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from headway.cli import local
from headway.cli.main import run
from headway_coordinator.embedded import HEADWAY
from tests.servers.processes import Child, Processes, listening
from tests.servers.waiting import wait_until

ROOT = Path(__file__).parents[2]
HEAD = "headway: 1\npipeline: p\nteam: t\nowner: o\n"


class Here:
    """Runs the command in a folder, with a folder of its own for temporary files."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self._processes = processes
        self.folder = folder
        self.temporary = folder / "tmp"
        self.temporary.mkdir()

    def write(self, text: str) -> None:
        (self.folder / "p.yaml").write_text(HEAD + text)

    def start(self, *args: str, cwd: Path | None = None) -> Child:
        plain = {k: v for k, v in os.environ.items() if not k.startswith("HEADWAY_")}
        return self._processes.start(
            [*HEADWAY, *args],
            name=args[0],
            env={**plain, "NO_COLOR": "1", "TMPDIR": str(self.temporary)},
            cwd=cwd or self.folder,
            dies_by=signal.SIGKILL,
        )

    def local(self, *args: str) -> subprocess.CompletedProcess[str]:
        plain = {k: v for k, v in os.environ.items() if not k.startswith("HEADWAY_")}
        return subprocess.run(
            [*HEADWAY, "run", "p.yaml", "--local", *args],
            env={**plain, "NO_COLOR": "1", "TMPDIR": str(self.temporary)},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def left(self) -> list[str]:
        return [path.name for path in self.temporary.iterdir() if path.name.startswith("headway")]


@pytest.fixture
def server() -> Iterator[str]:
    """Give the address of an HTTP server on loopback that serves nothing but its folder."""
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{made.server_address[1]}/"
        made.shutdown()
        thread.join()


@pytest.fixture
def here(processes: Processes, tmp_path: Path) -> Iterator[Here]:
    yield Here(processes, tmp_path)
    processes.close()


def test_what_init_makes_runs_as_it_says(here: Here) -> None:
    child = here.start("init", "first")
    assert child.wait() == 0, child.output()
    assert "headway run pipeline.yaml --local" in child.output()
    child = here.start(
        "run", "pipeline.yaml", "--local", "-p", "name=Ada", cwd=here.folder / "first"
    )
    assert child.wait(within=100) == 0, child.output()
    assert "greet.greeting = Hello, Ada!" in child.output()
    assert "count.letters = 8" in child.output()
    assert here.left() == []


def test_the_weather_runs_with_its_artifacts_inputs_and_retries(here: Here) -> None:
    child = here.start("run", "examples/weather/pipeline.yaml", "--local", cwd=ROOT)
    assert child.wait(within=110) == 0, child.output()
    assert "weather" in child.output()
    assert "succeeded" in child.output()


def test_the_document_and_the_status_of_a_run_that_fails(here: Here) -> None:
    here.write(
        "steps:\n"
        "  a: {run: 'echo n=3 >> $HEADWAY_OUTPUT', outputs: {n: int}}\n"
        "  b: {run: 'echo said $N; exit 3', needs: [a], env: {N: '${{ steps.a.outputs.n }}'},"
        " retry: {max: 1, delay: 10ms}}\n"
        "  c: {run: echo never, needs: [b]}\n"
        "finally: {z: {run: echo done}}\n"
    )
    done = here.local("--json")
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert set(document) == {"id", "pipeline", "state", "created", "steps"}
    assert (document["pipeline"], document["state"]) == ("p", "failed")
    states = {name: (step["state"], step["attempts"]) for name, step in document["steps"].items()}
    assert states == {
        "a": ("succeeded", 1),
        "b": ("failed", 2),
        "c": ("upstream_failed", 0),
        "z": ("succeeded", 1),
    }
    assert document["steps"]["a"]["outputs"] == {"n": 3}
    assert "b | said 3\n" in done.stderr
    assert "a | " not in done.stderr


def test_logs_of_all_steps_when_asked_for(here: Here) -> None:
    here.write("steps: {a: {run: echo hello from a}, b: {python: 'builtins:dict', class: big}}\n")
    done = here.local("-v")
    assert done.returncode == 0, done.stderr
    assert "a | hello from a\n" in done.stderr
    assert "hello" not in done.stdout


def test_parameters_that_do_not_fit_and_invalid_files(here: Here) -> None:
    here.write("params: {n: {type: int}}\nsteps: {a: {run: echo x}}\n")
    done = here.local("-p", "n=many", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "invalid_params"
    here.write("steps: {a: {rnu: echo x}}\n")
    assert here.local().returncode == 2
    assert here.left() == []


LONG = (
    "steps:\n  a: {run: 'echo $$ > \"$HEADWAY_CODE/pid\"; (setsid sleep 600 &) ; sleep 600'}\n"
    "finally: {z: {run: 'touch \"$HEADWAY_CODE/tidied\"'}}\n"
)


def name_of(process: psutil.Process) -> str:
    """Return the name of a process; that of one which has ended since it was listed is empty."""
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def started(here: Here) -> tuple[Child, psutil.Process, list[psutil.Process]]:
    """Return the command once its step runs, its process, and all those below it."""
    here.write(LONG)
    child = here.start("run", "p.yaml", "--local", "--json")
    process = psutil.Process(child.pid)

    def sleepers() -> bool:
        names = [name_of(each) for each in process.children(recursive=True)]
        return (here.folder / "pid").exists() and names.count("sleep") == 2

    wait_until(sleepers, within=60, what="a running step")
    return child, process, process.children(recursive=True)


def test_nothing_listens_and_ctrl_c_cancels_and_leaves_no_process(here: Here) -> None:
    child, process, below = started(here)
    assert listening(process) == []
    process.send_signal(signal.SIGINT)
    assert child.wait(within=60) == 130, child.output()
    assert '"state": "cancelled"' in child.output()
    assert (here.folder / "tidied").exists()
    _, alive = psutil.wait_procs(below, timeout=30)
    assert alive == []
    assert here.left() == []


def test_a_second_ctrl_c_ends_everything_at_once(here: Here) -> None:
    child, process, below = started(here)
    process.send_signal(signal.SIGINT)
    wait_until(lambda: "Ctrl-C again" in child.output(), within=60, what="the word about it")
    if process.is_running():
        process.send_signal(signal.SIGINT)
    assert child.wait(within=60) == 130, child.output()
    _, alive = psutil.wait_procs(below, timeout=30)
    assert alive == []
    assert here.left() == []


def test_a_command_that_is_killed_leaves_no_process(here: Here) -> None:
    child, process, below = started(here)
    process.kill()
    child.wait(within=60)
    _, alive = psutil.wait_procs(below, timeout=30)
    assert alive == []


def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class Point:
        name = "coordinator"

        def load(self) -> None:
            raise ModuleNotFoundError("No module named 'sqlalchemy'", name="sqlalchemy")

    class Worker(Point):
        name = "worker"

        def load(self) -> None:
            return None

    monkeypatch.setattr(local, "entry_points", lambda group: [Point(), Worker()])
    file = tmp_path / "p.yaml"
    file.write_text(HEAD + "steps: {a: {run: echo x}}\n")
    assert run(["run", str(file), "--local", "--json"]) == 2
    out, err = capfd.readouterr()
    assert json.loads(out)["error"]["code"] == "missing_extra"
    assert "pip install 'headway[coordinator]'" in err


@pytest.mark.parametrize("words", [("weather", "--local"), ("a.yaml", "--local")])
def test_what_is_no_file_is_not_run_here(
    words: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["run", *words]) == 2
    assert "error: " in capfd.readouterr().err


def test_http_steps_reach_loopback_and_no_other_private_address(here: Here, server: str) -> None:
    here.write(
        f"steps:\n  home: {{http: {{url: '{server}'}}}}\n"
        "  inside: {http: {url: 'http://10.0.0.1/'}}\n"
    )
    done = here.local("--json")
    steps = json.loads(done.stdout)["steps"]
    assert done.returncode == 1
    assert steps["home"]["outputs"] == {"status": 200}
    assert steps["inside"]["state"] == "failed"
    assert "HEADWAY_HTTP_ALLOW" in done.stderr
