"""docs/tutorial.md, followed to the letter in an empty folder.

A block with a file's name is written; `$ ` begins a command, what follows is what it prints on
stdout (`…` stands for anything), and `[2]` its exit status. `background` goes on meanwhile.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.processes import Processes
from tests.servers.sources import free_port

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Command:
    line: str
    shown: str
    status: int


def commands(block: str) -> Iterator[Command]:
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        line, _, shown = part.partition("\n")
        lines = shown.splitlines()
        status = 0
        if lines and (found := re.fullmatch(r"\[(\d+)\]", lines[-1])):
            status = int(found[1])
            lines.pop()
        yield Command(line, "\n".join(lines), status)


def pattern(shown: str) -> str:
    """Return what the output must match: a line that is `…` alone stands for any number of them."""
    lines = (
        "(?s:.*?)" if line == "…" else re.escape(line).replace("…", ".*")
        for line in shown.splitlines()
    )
    return r"\s*\n?".join(lines) + r"\s*"


@pytest.mark.timeout(180)
def test_the_tutorial_does_what_it_says(processes: Processes, tmp_path: Path) -> None:
    plain = {k: v for k, v in os.environ.items() if not k.startswith("HEADWAY_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{plain['PATH']}"
    env = {**plain, "PATH": path, "NO_COLOR": "1", "COLUMNS": "150", "LC_ALL": "C.UTF-8"}
    folder = tmp_path
    done = 0
    try:
        for language, name, block in BLOCK.findall(PAGE.read_text("utf-8")):
            if language != "console":
                (folder / name).write_text(block)
                continue
            for command in commands(block):
                done += 1
                if name == "background":
                    listen = ["--listen", f"127.0.0.1:{free_port()}"]
                    up = processes.start(
                        [*command.line.split(), *listen],
                        name="up", env=env, cwd=folder, dies_by=signal.SIGTERM,
                    )  # fmt: skip
                    up.wait_for_output("Stop   Ctrl-C", within=110)
                    assert "Open   http://" in up.output()
                    continue
                ran = run(command.line, env, folder)
                assert ran.returncode == command.status, (command.line, ran.stdout, ran.stderr)
                told = ran.stdout if command.status != 2 else ran.stderr
                if command.shown:
                    assert re.fullmatch(pattern(command.shown), told), f"{command.line}\n{told}"
                if command.line.startswith("mkdir"):
                    folder = folder / command.line.split()[1]
    finally:
        processes.close()
    assert done > 12
    processes.no_leftovers()


def run(line: str, env: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line], env=env, cwd=folder, capture_output=True, text=True,
        check=False, timeout=100,
    )  # fmt: skip
