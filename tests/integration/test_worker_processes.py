"""Processes of steps: their output, their ends, and that nothing of them is left behind."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from headway_worker.runner.process import Exit, Process
from headway_worker.runner.spawner import Spawner
from tests.servers.waiting import wait_until

ENV = {"PATH": os.environ["PATH"]}


class Kept:
    """Output in memory; `heard` says when some words have come."""

    def __init__(self) -> None:
        self.data = b""
        self._changed = threading.Condition()

    def write(self, data: bytes) -> None:
        with self._changed:
            self.data += data
            self._changed.notify_all()

    def is_full(self) -> bool:
        return False

    def heard(self, words: bytes) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: words in self.data, 20), self.data


class Running:
    """A process pumped by a thread."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.log = Kept()
        self._thread = threading.Thread(target=process.pump, args=(self.log,))
        self._thread.start()

    def ended(self) -> Exit:
        self._thread.join(30)
        assert self.process.exit is not None, "it goes on"
        self.process.close()
        return self.process.exit


@pytest.fixture
def spawner() -> Iterator[Spawner]:
    made = Spawner()
    made.start()
    yield made
    made.close()


@pytest.fixture
def mark() -> str:
    """A number of seconds to sleep that finds this test's own sleepers."""
    return str(10_000_000 + secrets.randbelow(10_000_000))


def sleepers(mark: str) -> list[int]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        command = process.info["cmdline"] or []
        if command[:1] == ["sleep"] and mark in command:
            found.append(process.pid)
    return found


def bash(spawner: Spawner, script: str, cwd: str = "/") -> Running:
    return Running(spawner.spawn(["/bin/bash", "-c", script], env=ENV, cwd=cwd))


def test_output_comes_whole_and_in_order(spawner: Spawner) -> None:
    running = bash(spawner, "for i in 1 2 3; do echo out$i; echo err$i >&2; done; exit 3")
    assert running.ended() == Exit(code=3)
    assert running.log.data == b"out1\nerr1\nout2\nerr2\nout3\nerr3\n"


def test_a_megabyte_of_output_is_not_cut(spawner: Spawner) -> None:
    running = bash(spawner, "head -c 1000000 /dev/zero; echo end")
    assert running.ended() == Exit(code=0)
    assert len(running.log.data) == 1_000_004


def test_a_signal_is_told_as_such(spawner: Spawner) -> None:
    ended = bash(spawner, "kill -9 $$").ended()
    assert ended == Exit(signal=9)
    assert ended.describe() == "was killed by SIGKILL"


@pytest.mark.parametrize(
    ("argv", "cwd", "named"), [("/no/such", "/", "/no/such"), ("true", "/no/folder", "/no/folder")]
)
def test_what_cannot_start_says_why(spawner: Spawner, argv: str, cwd: str, named: str) -> None:
    ended = Running(spawner.spawn([argv], env=ENV, cwd=cwd)).ended()
    assert ended.code == 127
    assert ended.problem is not None
    assert named in ended.problem


def test_the_environment_is_what_was_given_and_nothing_else(spawner: Spawner) -> None:
    running = Running(spawner.spawn(["env"], env={**ENV, "A": "1"}, cwd="/"))
    assert running.ended() == Exit(code=0)
    assert sorted(running.log.data.split()) == [b"A=1", f"PATH={ENV['PATH']}".encode()]


def test_no_descriptor_of_ours_is_inherited(spawner: Spawner) -> None:
    running = bash(spawner, "ls /proc/$$/fd; true")
    running.ended()
    assert running.log.data.split() == [b"0", b"1", b"2"]


def test_what_a_step_leaves_behind_is_killed(spawner: Spawner, mark: str) -> None:
    script = f"""
    sleep {mark} &
    setsid sleep {mark} &
    (setsid bash -c 'sleep {mark} & exec sleep {mark}' &) &
    while [ $(pgrep -c -x -f 'sleep {mark}') -lt 4 ]; do :; done
    echo done"""
    running = bash(spawner, script)
    assert running.ended() == Exit(code=0)
    assert running.log.data == b"done\n"
    assert sleepers(mark) == []


def test_what_still_writes_at_the_end_of_its_step_is_let_finish(spawner: Spawner) -> None:
    running = bash(spawner, 'exec > >(while read -r line; do echo "<$line>"; done); echo tail')
    assert running.ended() == Exit(code=0)
    assert running.log.data == b"<tail>\n"


def test_a_stop_reaches_daemons_and_what_ignores_it(spawner: Spawner, mark: str) -> None:
    script = f"""
    trap '' TERM
    setsid bash -c "trap '' TERM; sleep {mark}; sleep {mark}" &
    while ! pgrep -x -f 'sleep {mark}' > /dev/null; do :; done
    echo ready
    while :; do sleep {mark}; done"""
    running = bash(spawner, script)
    running.log.heard(b"ready")
    running.process.stop(0.2)
    assert running.ended() == Exit(signal=9)
    assert sleepers(mark) == []


def test_a_step_may_end_by_itself_within_its_grace(spawner: Spawner) -> None:
    script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do :; done"
    running = bash(spawner, script)
    running.log.heard(b"ready")
    running.process.stop(20)
    assert running.ended() == Exit(code=7)
    assert running.log.data == b"ready\nbye\n"


def test_the_grace_is_for_the_children_of_a_shell_too(spawner: Spawner) -> None:
    child = "trap 'echo flushed; exit 0' TERM; echo ready; while :; do :; done"
    running = bash(spawner, f'bash -c "{child}"; true')
    running.log.heard(b"ready")
    running.process.stop(20)
    assert running.ended() == Exit(signal=signal.SIGTERM)
    assert b"flushed" in running.log.data


def test_a_deadline_is_kept(spawner: Spawner, mark: str) -> None:
    process = spawner.spawn(["sleep", mark], env=ENV, cwd="/")
    process.pump(Kept(), deadline=time.monotonic() + 0.1, on_deadline=lambda: process.stop(5))
    assert process.exit == Exit(signal=signal.SIGTERM)
    process.close()


def test_a_stopped_step_is_killed_all_the_same(spawner: Spawner, mark: str) -> None:
    running = bash(spawner, f"echo ready; kill -STOP $$; sleep {mark}")
    running.log.heard(b"ready")
    running.process.stop(0.1)
    assert running.ended() == Exit(signal=9)


def test_a_step_that_kills_its_watcher_leaves_nothing(spawner: Spawner, mark: str) -> None:
    running = bash(spawner, f"setsid sleep {mark} & kill -9 $PPID; sleep {mark}")
    assert running.ended().lost
    wait_until(lambda: not sleepers(mark), what="the end of the step")


def test_closing_a_process_kills_it(spawner: Spawner, mark: str) -> None:
    process = spawner.spawn(["bash", "-c", f"setsid sleep {mark} & sleep {mark}"], env=ENV, cwd="/")
    wait_until(lambda: len(sleepers(mark)) == 2)
    process.close()
    wait_until(lambda: not sleepers(mark), what="the end of the step")


def test_closing_the_spawner_kills_everything(mark: str) -> None:
    spawner = Spawner()
    spawner.start()
    process = spawner.spawn(["bash", "-c", f"setsid sleep {mark} & sleep {mark}"], env=ENV, cwd="/")
    wait_until(lambda: len(sleepers(mark)) == 2)
    spawner.close()
    assert sleepers(mark) == []
    process.close()


def test_a_killed_launcher_takes_its_steps_along_and_is_replaced(mark: str) -> None:
    spawner = Spawner()
    spawner.start()
    [launcher] = [p for p in psutil.Process().children() if "launcher" in " ".join(p.cmdline())]
    running = bash(spawner, f"setsid sleep {mark} & sleep {mark}")
    wait_until(lambda: len(sleepers(mark)) == 2)
    launcher.kill()
    running.ended()
    wait_until(lambda: not sleepers(mark), what="the end of the step")
    again = bash(spawner, "echo again")
    assert again.ended() == Exit(code=0)
    assert again.log.data == b"again\n"
    spawner.close()


@pytest.mark.parametrize("victims", ["worker", "worker and launcher"])
def test_a_killed_worker_leaves_no_process(mark: str, victims: str, tmp_path: Path) -> None:
    program = f"""
import sys
from headway_worker.runner.spawner import Spawner
spawner = Spawner()
spawner.start()
script = "trap '' TERM; setsid sleep {mark} & (setsid sleep {mark} &) ; sleep {mark}"
process = spawner.spawn(["bash", "-c", script], env={ENV!r}, cwd="/")
print("started", flush=True)
sys.stdin.read()
"""
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout
        worker.stdout.readline()
        wait_until(lambda: len(sleepers(mark)) == 3)
        if victims == "worker and launcher":
            psutil.Process(worker.pid).children()[0].kill()
        worker.kill()
    wait_until(lambda: not sleepers(mark), what="the end of the step")


def test_the_launcher_holds_no_secret_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_TOKEN", "hw_secret")
    spawner = Spawner()
    spawner.start()
    running = bash(spawner, "cat /proc/$PPID/environ")
    running.ended()
    assert b"PATH=" in running.log.data
    assert b"hw_secret" not in running.log.data
    spawner.close()
