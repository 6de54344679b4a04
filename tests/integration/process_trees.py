"""Pipelines whose steps leave processes about, and what became of those."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil

from tests.servers.waiting import wait_until

HEADER = "headway: 1\nteam: demo\nowner: demo@example.com\n"


def why(shown: dict[str, Any]) -> list[Any]:
    return [(s["step"], s["state"], s["error"], s["attempts"]) for s in shown["steps"]]


def sleeper(name: str, folder: Path, more: str, *, once: bool = False) -> str:
    """A step that starts a daemon of its own session and writes both process ids."""
    skip = 'if [ "$HEADWAY_ATTEMPT" -gt 1 ]; then exit 0; fi\n      ' if once else ""
    return f"""
pipeline: {name}
steps:
  sleep:
    run: |
      {skip}setsid sleep 600 &
      echo $! > {folder}/child.pid
      (setsid sh -c 'echo $$ > {folder}/daemon.pid; exec sleep 600' &)
      echo $$ > {folder}/main.pid
      sleep 600
    {more}
"""


def _pids(folder: Path) -> list[int]:
    files = [folder / f"{name}.pid" for name in ("child", "daemon", "main")]
    return [int(f.read_text()) for f in files if f.exists() and f.read_text().strip()]


def wait_pids(folder: Path) -> list[int]:
    return wait_until(
        lambda: len(_pids(folder)) == 3 and _pids(folder), what="the step's processes"
    )


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def assert_gone(folder: Path) -> None:
    pids = _pids(folder)
    assert pids, "the step never started"
    assert os.getpid() not in pids
    wait_until(lambda: not any(map(_alive, pids)), within=15, what=f"the end of {pids}")
