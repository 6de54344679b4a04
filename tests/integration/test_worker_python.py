"""Functions of a team's code in warm interpreters."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headway.clock import SystemClock
from headway_worker.runner.interpreters import Interpreters, Key
from headway_worker.runner.process import Exit
from headway_worker.runner.spawner import Spawner

ENV = {"PATH": os.environ["PATH"]}
CODE = """
import os, signal, subprocess, sys, threading, time
calls = 0

def add(a, b=1):
    print("adding", a)
    return {"sum": a + b}

def count():
    global calls
    calls += 1
    return {"calls": calls, "pid": os.getpid()}

def surroundings():
    seen = {"cwd": os.getcwd(), "env": os.environ.get("NAME"), "other": os.environ.get("OTHER")}
    os.environ["OTHER"] = "left"
    os.chdir("/")
    return seen

def nothing(): return None
def number(): return 5
def not_json(): return {"a": object()}
def not_a_number(): return {"a": float("nan")}
def odd_keys(): return {1: 2}
def wrong_inside(): return int(None)
def boom(): raise ValueError("the reason")
def leave(): sys.exit(3)
def leave_well(): sys.exit(0)
def vanish(): print("last words", flush=True); os._exit(9)
def crash(): os.kill(os.getpid(), 11)
async def later(): return {"a": 1}
def forks():
    if os.fork() == 0:
        raise RuntimeError("in the child")
    os.wait()
    return {"ok": True}
def leaves_process(): subprocess.Popen(["setsid", "sleep", "12345678"])
def unended():
    print("no newline", end="")
    return {}
def garbles(): os.write(3, b"\\x00\\x00\\x00\\x05what?"); time.sleep(1000)
def begins(): os.write(3, b"\\x00\\x00"); time.sleep(1000)
def wanders():
    found = {"path": "/left" in sys.path, "umask": os.umask(0o17)}
    sys.path.insert(0, "/left")
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    return found
def waits(): time.sleep(0.2); return {}
def chatters():
    while True: print("still here", flush=True); time.sleep(0.01)
def leaves_thread():
    threading.Thread(target=chatters).start()
    return {}
def closes(): sys.stdout.close(); return {}
value = 5
"""


class Kept:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def is_full(self) -> bool:
        return False


class Team:
    """Calls functions of one code folder, as the executor would."""

    def __init__(self, spawner: Spawner, folder: Path, *, keep: int = 2) -> None:
        self.folder = folder
        self.interpreters = Interpreters(spawner, ENV, SystemClock(), keep=keep)
        self.log = Kept()
        self.exit: Exit | None = None

    def call(self, name: str, *, digest: str = "d1", **more: Any) -> dict[str, Any]:
        """Return the reply; {} if there was none."""
        key = Key(digest, sys.executable, str(self.folder))
        interpreter = self.interpreters.take(key)
        self.log = Kept()
        request = {
            "call": f"steps:{name}",
            "with": more.pop("given", {}),
            "env": {**ENV, **more.pop("env", {})},
            "cwd": str(self.folder),
            "path": str(self.folder),
        }
        on_deadline = lambda: interpreter.process.stop(5)  # noqa: E731
        reply = interpreter.call(request, self.log, on_deadline=on_deadline, **more)
        self.exit = interpreter.process.exit
        if interpreter.is_spent:
            interpreter.process.close()
        else:
            self.interpreters.give_back(interpreter)
        return reply or {}


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    (tmp_path / "steps.py").write_text(CODE)
    spawner = Spawner()
    spawner.start()
    made = Team(spawner, tmp_path)
    yield made
    made.interpreters.close()
    spawner.close()


def code(reply: dict[str, Any]) -> str:
    return str(reply["error"]["code"])


def test_arguments_go_in_and_a_mapping_comes_out(team: Team) -> None:
    assert team.call("add", given={"a": 2}) == {"ok": {"sum": 3}}
    assert team.log.data == b"adding 2\n"
    assert team.call("nothing") == {"ok": {}}
    assert team.call("later") == {"ok": {"a": 1}}


def test_an_interpreter_is_used_again_for_the_same_definition_only(team: Team) -> None:
    first = team.call("count")["ok"]
    assert team.call("count")["ok"] == {"calls": 2, "pid": first["pid"]}
    assert team.call("count", digest="d2")["ok"]["calls"] == 1


def test_no_call_sees_what_another_changed(team: Team) -> None:
    expected = {"ok": {"cwd": str(team.folder), "env": "x", "other": None}}
    assert team.call("surroundings", env={"NAME": "x"}) == expected
    assert team.call("surroundings", env={"NAME": "x"}) == expected
    assert team.call("surroundings")["ok"]["env"] is None


def test_edited_code_is_noticed(team: Team) -> None:
    team.call("count")
    (team.folder / "steps.py").write_text("def count(): return {'new': True}")
    assert team.call("count") == {"stale": True}
    assert team.call("count") == {"ok": {"new": True}}


@pytest.mark.parametrize("name", ["number", "not_json", "not_a_number", "odd_keys"])
def test_what_is_no_json_mapping_is_bad_output(team: Team, name: str) -> None:
    assert code(team.call(name)) == "bad_output"


def test_wrong_arguments_are_told_from_errors_inside(team: Team) -> None:
    reply = team.call("add", given={"c": 1})
    assert code(reply) == "bad_arguments"
    assert "unexpected keyword argument 'c'" in reply["error"]["message"]
    assert code(team.call("wrong_inside")) == "exception"


def test_an_exception_comes_with_the_team_s_own_lines(team: Team) -> None:
    error = team.call("boom")["error"]
    assert error["message"] == "ValueError: the reason"
    assert "steps.py" in error["traceback"]
    assert "child.py" not in error["traceback"]
    assert b"ValueError: the reason" in team.log.data, "it is in the log too"


@pytest.mark.parametrize("name", ["no_such", "value"])
def test_what_is_no_function_is_said_to_be(team: Team, name: str) -> None:
    assert code(team.call(name)) == "import_error"


def test_leaving_is_a_failure_with_its_status(team: Team) -> None:
    assert team.call("leave")["error"]["exit"] == 3
    assert team.call("leave_well")["error"]["code"] == "exit_status"
    assert team.exit is None, "and costs no interpreter"


def test_a_vanished_interpreter_tells_how_it_ended(team: Team) -> None:
    assert team.call("vanish") == {}
    assert team.exit == Exit(code=9)
    assert team.log.data == b"last words\n"
    assert team.call("crash") == {}
    assert team.exit == Exit(signal=11)
    assert team.call("add", given={"a": 1}) == {"ok": {"sum": 2}}


def test_a_forked_child_does_not_answer_for_its_parent(team: Team) -> None:
    assert team.call("forks") == {"ok": {"ok": True}}
    assert team.call("count")["ok"]["calls"] == 1


def test_a_call_that_leaves_processes_spends_its_interpreter(team: Team) -> None:
    pid = team.call("count")["ok"]["pid"]
    assert team.call("leaves_process") == {"ok": {}, "left": True}
    assert team.call("count")["ok"] != {"calls": 2, "pid": pid}


def test_output_without_a_newline_is_of_its_own_call(team: Team) -> None:
    team.call("unended")
    assert team.log.data == b"no newline"
    team.call("nothing")
    assert team.log.data == b""


def test_closed_output_does_no_harm(team: Team) -> None:
    assert team.call("closes") == {"ok": {}}


def test_a_deadline_ends_the_interpreter(team: Team) -> None:
    (team.folder / "steps.py").write_text("import time\ndef hang(): time.sleep(1000)")
    assert team.call("hang", deadline=time.monotonic() + 0.2) == {}
    assert team.exit == Exit(signal=15)


def test_a_deadline_holds_although_an_answer_was_begun(team: Team) -> None:
    assert team.call("begins", deadline=time.monotonic() + 0.2) == {}
    assert team.exit == Exit(signal=15)


def test_what_is_no_answer_is_told_and_spends_the_interpreter(team: Team) -> None:
    first = team.call("count")["ok"]["pid"]
    assert code(team.call("garbles", deadline=time.monotonic() + 60)) == "bad_answer"
    assert team.call("count")["ok"]["pid"] != first


def test_no_call_meets_the_path_the_mask_or_the_alarm_of_another(team: Team) -> None:
    first = team.call("wanders")["ok"]
    assert team.call("waits") == {"ok": {}}, "the alarm of the first would have killed it"
    assert team.call("wanders")["ok"] == first


def test_a_call_that_leaves_a_thread_spends_its_interpreter(team: Team) -> None:
    """What the thread goes on to write is in nobody else's log."""
    reply = team.call("leaves_thread")
    assert reply["left"]
    assert not team.interpreters._idle
    assert team.call("waits") == {"ok": {}}
    assert team.log.data == b""


def test_no_more_interpreters_are_kept_than_wanted(team: Team) -> None:
    first = team.call("count", digest="d1")["ok"]["pid"]
    team.call("count", digest="d2")
    team.call("count", digest="d3")
    assert team.call("count", digest="d1")["ok"]["pid"] != first
