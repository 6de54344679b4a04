"""`headway up`, as `make run` calls it: the embedded stack from nothing to a result and down."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from headway_coordinator.embedded import HEADWAY
from tests.servers.processes import Child, Processes
from tests.servers.sources import free_port

ROOT = Path(__file__).parents[2]
WEATHER = "examples/weather/pipeline.yaml"


class Up:
    """Starts `headway up` in a state folder of its own."""

    def __init__(self, processes: Processes, state: Path) -> None:
        self.processes = processes
        self.state = state
        self.port = free_port()

    def start(self, *args: str) -> Child:
        plain = {k: v for k, v in os.environ.items() if not k.startswith("HEADWAY_")}
        options = ["--listen", f"127.0.0.1:{self.port}", "--state-dir", str(self.state)]
        return self.processes.start(
            [*HEADWAY, "up", *options, *args],
            name="up",
            env={**plain, "NO_COLOR": "1"},
            cwd=ROOT,
            dies_by=signal.SIGTERM,
        )

    def command(self, *args: str) -> Child:
        plain = {k: v for k, v in os.environ.items() if not k.startswith("HEADWAY_")}
        env = {**plain, "HEADWAY_STATE_DIR": str(self.state)}
        child = self.processes.start([*HEADWAY, *args], name=args[0], env=env, cwd=ROOT)
        child.wait()
        return child


@pytest.fixture
def up(processes: Processes, tmp_path: Path) -> Iterator[Up]:
    yield Up(processes, tmp_path / "state")
    processes.close()


def test_the_weather_runs_to_its_result_and_everything_ends(up: Up) -> None:
    child = up.start("--once", WEATHER)
    status = child.wait(within=110)
    output = child.output()
    assert status == 0, output
    assert "succeeded" in output
    assert "report.headline = " in output
    assert "report.html" in output
    assert f"http://127.0.0.1:{up.port}/r/" in output
    assert re.search(r"fetch_seattle\s.*attempt 2", output)
    up.processes.no_leftovers()


def test_it_stays_up_until_it_is_interrupted_and_shows_the_run(up: Up) -> None:
    child = up.start(WEATHER)
    child.wait_for_output("Stop   Ctrl-C", within=110)
    link = re.search(r"Open\s+(\S+)", child.output())
    assert link is not None
    with httpx2.Client(follow_redirects=True) as browser:
        page = browser.get(link[1])
    assert page.status_code == httpx2.codes.OK
    assert "weather" in page.text
    assert "fetch_seattle" in page.text
    listed = up.command("runs", "list", "--json")
    assert json.loads(listed.output())["runs"][0]["state"] == "succeeded"
    assert child.stop(signal.SIGINT, within=60) == 0
    up.processes.no_leftovers()


@pytest.mark.timeout(300)
def test_a_second_start_in_the_same_folder_goes_on_with_its_history(up: Up, tmp_path: Path) -> None:
    definition = tmp_path / "short.yaml"
    definition.write_text(
        "headway: 1\npipeline: short\nteam: demo\nowner: a@example.com\n"
        "steps:\n  a: {run: 'echo done'}\n"
    )
    for _ in range(2):
        assert up.start("--once", str(definition)).wait(within=110) == 0
        assert (up.state / "headway.db").exists()
        up.port = free_port()
    child = up.start()
    child.wait_for_output("Stop   Ctrl-C", within=110)
    runs = json.loads(up.command("runs", "list", "--json").output())["runs"]
    assert len(runs) == 2
    assert child.stop(signal.SIGINT, within=60) == 0


def test_a_run_that_fails_is_the_exit_status(up: Up, tmp_path: Path) -> None:
    definition = tmp_path / "failing.yaml"
    definition.write_text(
        "headway: 1\npipeline: failing\nteam: demo\nowner: a@example.com\n"
        "steps:\n  a: {run: 'exit 3'}\n"
    )
    child = up.start("--once", str(definition))
    assert child.wait(within=110) == 1
    assert "failed" in child.output()


def test_a_taken_address_is_named_with_the_mend(up: Up) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", up.port))
        taken.listen()
        child = up.start(WEATHER)
        assert child.wait(within=60) == 3
    assert f"cannot listen on 127.0.0.1:{up.port}" in child.output()
    assert "HEADWAY_LISTEN" in child.output()


def test_a_second_stack_on_the_same_database_is_refused(up: Up) -> None:
    first = up.start()
    first.wait_for_output("Stop   Ctrl-C", within=60)
    up.port = free_port()
    second = up.start()
    assert second.wait(within=60) == 3
    assert "PostgreSQL" in second.output()
    assert first.running


def test_a_wrong_definition_starts_nothing(up: Up, tmp_path: Path) -> None:
    definition = tmp_path / "wrong.yaml"
    definition.write_text("headway: 1\npipeline: wrong\nteam: demo\nowner: a@b.c\nstepz: {}\n")
    child = up.start(str(definition))
    assert child.wait(within=60) == 2
    assert f"{definition}:5:1" in child.output()
    assert "Traceback" not in child.output()
    assert not up.state.exists()
