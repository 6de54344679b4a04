from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headway_worker.journal import Journal, Record
from headway_worker.leftovers import leftovers, reap
from headway_worker.runner.processtree import started


def journal(folder: Path, boot: str, machine: str = "m1") -> Journal:
    return Journal(folder / "journal", boot=boot, machine_boot=machine, slots=2)


def test_the_next_boot_finds_what_was_running(tmp_path: Path) -> None:
    first = journal(tmp_path, "b1")
    first.begin("a", 3)
    first.settled("a", "/scratch/a")
    first.started("a", 123, "456")
    first.begin("b", 1)
    first.end("b")
    second = journal(tmp_path, "b2")
    expected: Record = {"attempt": "a", "fence": 3, "boot": "b1", "machine": "m1"}
    expected |= {"scratch": "/scratch/a", "pid": 123, "start": "456"}
    assert second.left == [expected]
    first.close()
    second.close()


def test_what_was_being_claimed_is_found(tmp_path: Path) -> None:
    """Won or not, nobody else can tell the coordinator that it does not run."""
    first = journal(tmp_path, "b1")
    first.begin("a", 1)
    second = journal(tmp_path, "b2")
    assert [each.attempt for each in reap(second.left, [], pause=lambda _seconds: None)] == ["a"]
    first.close()
    second.close()


def test_it_is_found_again_until_the_coordinator_was_told(tmp_path: Path) -> None:
    journal(tmp_path, "b1").begin("a", 1)
    second = journal(tmp_path, "b2")
    for name in ("c", "d"):
        second.begin(name, 1)
    third = journal(tmp_path, "b3")
    assert {record["attempt"] for record in third.left} == {"a", "c", "d"}
    third.forget_left()
    assert journal(tmp_path, "b4").left == []


def test_a_claim_that_was_not_heard_of_is_reported_and_nothing_is_killed(tmp_path: Path) -> None:
    journal(tmp_path, "b1").begin("a", 3)
    found = journal(tmp_path, "b2").left
    held = reap(found, [], pause=lambda _seconds: pytest.fail("there is nothing to wait for"))
    assert [(each.attempt, each.fence) for each in held] == [("a", 3)]


def test_after_a_restart_of_the_machine_nothing_is_believed(tmp_path: Path) -> None:
    journal(tmp_path, "b1", "m1").begin("a", 1)
    assert journal(tmp_path, "b2", "m2").left == []


def test_a_torn_record_is_skipped(tmp_path: Path) -> None:
    journal(tmp_path, "b1").begin("a", 1)
    path = tmp_path / "journal"
    data = bytearray(path.read_bytes())
    used = data.index(1)
    data[used + 5 : used + 9] = b"\xff\xfe}}"
    path.write_bytes(data)
    assert journal(tmp_path, "b2").left == []


def test_slots_are_used_again(tmp_path: Path) -> None:
    kept = journal(tmp_path, "b1")
    for number in range(10):
        kept.begin(f"a{number}", 1)
        kept.end(f"a{number}")
    assert journal(tmp_path, "b2").left == []


@pytest.fixture
def sleeper() -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", "input()"]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True)


def test_leftovers_are_killed_and_those_without_a_result_reported(
    sleeper: subprocess.Popen[bytes],
) -> None:
    def wait(_seconds: float) -> None:
        sleeper.wait(10)

    with sleeper:
        start = started(sleeper.pid)
        left: list[Record] = [
            {"attempt": "a", "fence": 4, "scratch": "/no", "pid": sleeper.pid, "start": start},
            {"attempt": "b", "fence": 1, "scratch": "/none"},
        ]
        held = reap(left, ["b"], pause=wait)
        assert sleeper.wait(10) == -9
    assert [(each.attempt, each.fence) for each in held] == [("a", 4)]


def test_a_reused_pid_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    other = str(int(started(sleeper.pid)) + 1)
    left: list[Record] = [
        {"attempt": "a", "fence": 1, "scratch": "/no", "pid": sleeper.pid, "start": other}
    ]
    with sleeper:
        assert leftovers(left) == set()
        sleeper.communicate(b"\n")


def test_a_process_is_known_by_its_attempt_s_folder() -> None:
    env = {**os.environ, "HEADWAY_WORKDIR": "/nowhere/of-this-test"}
    argv = [sys.executable, "-c", "print(flush=True); input()"]
    marked = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
    left: list[Record] = [{"attempt": "a", "fence": 1, "scratch": "/nowhere/of-this-test"}]
    with marked:
        assert marked.stdout
        marked.stdout.readline()
        assert leftovers(left) == {marked.pid}
        marked.communicate(b"\n")
