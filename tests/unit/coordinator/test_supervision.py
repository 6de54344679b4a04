"""Child processes: restarted when they die, ended in order, gone with their supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil

from headway.clock import SystemClock
from headway_coordinator.supervision import WRONG_USE, Child, Supervisor, supervise
from tests.servers.waiting import wait_until

SLEEP = [sys.executable, "-c", "import signal; signal.pause()"]


def test_a_child_that_was_killed_is_started_again() -> None:
    supervisor = Supervisor(SystemClock())
    first = supervisor.start(Child("sleeper", SLEEP))
    try:
        os.kill(first, signal.SIGKILL)

        def again() -> bool:
            supervisor.tick()
            return supervisor.pids().get("sleeper", first) != first

        wait_until(again, what="the restart")
        assert supervisor.restarts == 1
    finally:
        supervisor.stop()


def test_the_end_of_an_essential_child_is_told() -> None:
    supervisor = Supervisor(SystemClock())
    supervisor.start(Child("short", [sys.executable, "-c", ""], essential=True))
    try:
        wait_until(lambda: supervisor.tick() == "short", what="the end of the child")
    finally:
        supervisor.stop()


def test_a_child_that_cannot_do_with_its_settings_is_told_and_not_started_for_ever() -> None:
    supervisor = Supervisor(SystemClock())
    supervisor.start(Child("wrong", [sys.executable, "-c", f"raise SystemExit({WRONG_USE})"]))
    try:
        assert supervise(supervisor, threading.Event()) == "wrong"
        assert supervisor.restarts == 0
    finally:
        supervisor.stop()


def test_stopping_ends_the_last_started_first(tmp_path: Path) -> None:
    supervisor = Supervisor(SystemClock())
    log = tmp_path / "log"
    # One write a word: `print` makes two, and two processes share the file.
    program = (
        "import os, signal, sys\n"
        "def end(*_):\n    os.write(1, f'{sys.argv[1]}\\n'.encode())\n    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\nos.write(1, b'ready\\n')\n"
        "while True: signal.pause()\n"
    )
    for name in ("first", "second"):
        supervisor.start(Child(name, [sys.executable, "-c", program, name], output=log))
    wait_until(lambda: log.read_text().count("ready") == 2, what="both children")
    supervisor.stop()
    assert log.read_text().split()[-2:] == ["second", "first"]


def test_a_child_that_ignores_its_signal_is_killed() -> None:
    supervisor = Supervisor(SystemClock())
    program = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: signal.pause()"
    )
    pid = supervisor.start(Child("stubborn", [sys.executable, "-c", program], grace_s=0.2))
    supervisor.stop()
    assert not psutil.pid_exists(pid)


def test_a_hurried_stop_grants_no_grace() -> None:
    supervisor = Supervisor(SystemClock())
    program = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: signal.pause()"
    )
    pid = supervisor.start(Child("stubborn", [sys.executable, "-c", program], grace_s=3600))
    supervisor.hurry()
    supervisor.stop()
    assert not psutil.pid_exists(pid)


def test_children_do_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    program = (
        "import signal, sys\nfrom headway.clock import SystemClock\n"
        "from headway_coordinator.supervision import Child, Supervisor\n"
        "pid = Supervisor(SystemClock()).start(Child('c', [sys.executable, '-c',"
        " 'import signal; signal.pause()']))\n"
        f"open({str(told)!r}, 'w').write(f'{{pid}}.')\nsignal.pause()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: told.exists() and told.read_text().endswith("."), what="the child")
        child = int(told.read_text().rstrip("."))
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not _alive(child), what="the end of the child")


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
