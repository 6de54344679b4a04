"""Crash points: what is told to die dies there, at that visit, and costs nobody else anything."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import SecretStr, ValidationError

from headway.crash_points import STATUS, CrashAt, crash_block, crash_point
from headway.errors import DefectError, DefinitionError
from headway_coordinator.settings import load_settings
from headway_worker.settings import WorkerSettings

PROGRAM = """
import sys
from contextlib import contextmanager
from headway import crash_points

crash_points.arm(sys.argv[1])

@crash_points.crash_point("inbox.add")
def add(number):
    print("add", number, flush=True)
    if number < 0:
        raise ValueError(number)
    return number

@crash_points.crash_block("storage.advancing")
@contextmanager
def transaction():
    print("begin", flush=True)
    yield
    print("commit", flush=True)

for number in (-1, 1, 2):
    try:
        print("added", add(number), flush=True)
    except ValueError:
        print("refused", flush=True)
try:
    with transaction():
        raise ValueError
except ValueError:
    print("rolled back", flush=True)
with transaction():
    print("write", flush=True)
print("end", flush=True)
"""


def died(at: str) -> tuple[int, str, list[str]]:
    """Return exit status, standard error and the last two lines of the program's output."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, at], capture_output=True, text=True, check=False
    )
    return run.returncode, run.stderr, run.stdout.splitlines()[-2:]


@pytest.mark.parametrize(
    ("at", "last"),
    [
        ("inbox.add:before:1", []),
        ("inbox.add:before:2", ["add -1", "refused"]),
        ("inbox.add:after:1", ["refused", "add 1"]),  # what raised has not returned
        ("inbox.add:after:2", ["added 1", "add 2"]),
        ("storage.advancing:before:1", ["begin", "write"]),  # what rolled back never came there
        ("storage.advancing:after:1", ["write", "commit"]),
    ],
)
def test_it_dies_at_that_visit(at: str, last: list[str]) -> None:
    assert died(at) == (STATUS, f"crash point {at}\n", last)


@pytest.mark.parametrize("at", ["inbox.add:after:3", "workers.claim:before:1"])
def test_what_is_not_reached_kills_nobody(at: str) -> None:
    assert died(at) == (0, "", ["commit", "end"])


def test_a_process_that_is_not_armed_keeps_its_functions() -> None:
    def function() -> None: ...

    assert crash_point("inbox.add")(function) is function
    assert crash_block("storage.advancing")(function) is function


def test_a_name_that_is_not_in_the_registry_is_a_defect() -> None:
    with pytest.raises(DefectError, match="nowhere"):
        crash_point("nowhere")


def test_a_point_that_is_imported_already_cannot_be_armed() -> None:
    program = (
        "import headway_coordinator.storage.leasing\n"
        "from headway import crash_points\n"
        "crash_points.arm('leases.renew:before:1')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "leases.renew was imported before it was armed" in run.stderr


def test_what_is_written_is_read() -> None:
    assert CrashAt.parse("inbox.add:after:12") == CrashAt("inbox.add", "after", 12)
    assert str(CrashAt("inbox.add", "after", 12)) == "inbox.add:after:12"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("inbox.added:after:1", "no crash point"),
        ("inbox.add:after:0", "no number of a visit"),
        ("inbox.add:after:-1", "no number of a visit"),
        ("inbox.add:after:²", "no number of a visit"),
        ("inbox.add:during:1", "POINT:before|after:N"),
        ("inbox.add:after", "POINT:before|after:N"),
        ("", "POINT:before|after:N"),
    ],
)
def test_settings_refuse_what_makes_no_sense(text: str, why: str) -> None:
    with pytest.raises(DefinitionError, match="HEADWAY_CRASH_AT") as refused:
        load_settings(
            database_url="sqlite:///x", broker_url="redis://h", secret_key="k" * 16, crash_at=text
        )
    assert why in str(refused.value)
    with pytest.raises(ValidationError) as refused_here:
        WorkerSettings(
            broker_url="redis://h", api_url=("http://h",), token=SecretStr("t"), crash_at=text
        )
    assert why in str(refused_here.value)
