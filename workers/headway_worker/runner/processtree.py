"""Processes of this machine and how they hang together, read from /proc. Standard library only."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import time
from collections.abc import Callable
from typing import Any

GIVE_UP_SECONDS = 10.0  # a process of another user, or stuck in the kernel, must not hold the slot
PAUSE_SECONDS = 0.001
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def kill_below(root: int, give_up: float = GIVE_UP_SECONDS) -> int:
    """Kill every descendant of this process `root`, again until none is left; return what stayed.

    Killing in passes catches what forks during a pass: its parent or itself dies in the next.
    """
    deadline = time.monotonic() + give_up
    while not is_childless():
        remaining = descendants(root)
        if time.monotonic() > deadline:
            return len(remaining)
        signal_all(remaining, signal.SIGKILL)
        time.sleep(PAUSE_SECONDS)  # the kernel tells of the end of children alone, not of theirs
    return 0


def descendants(root: int) -> list[int]:
    """Return the pids of all processes below `root`."""
    return below(root, parents())


def below(root: int, table: dict[int, int]) -> list[int]:
    """Return the pids below `root` in a table of `parents`."""
    children: dict[int, list[int]] = {}
    for pid, parent in table.items():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    todo = [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def parents() -> dict[int, int]:
    """Return pid → parent of every process of the machine; empty where there is no /proc."""
    table: dict[int, int] = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return table
    for name in names:
        if name.isdigit():
            fields = stat_fields(int(name))
            if fields:
                table[int(name)] = int(fields[1])
    return table


def started(pid: int) -> str:
    """Return when a process started, in the kernel's own units; empty if it is gone.

    Together with the pid it names one process of this boot of the machine.
    """
    fields = stat_fields(pid)
    return fields[19] if fields else ""


def stat_fields(pid: int) -> list[str]:
    """Return /proc/PID/stat from its third field (state) on; the name before may hold anything."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as stat:
            return stat.read().rpartition(b")")[2].decode().split()
    except (OSError, ValueError):
        return []


def signal_all(pids: list[int], number: int) -> None:
    """Send a signal to each process that is still there and ours to signal."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError as error:
            if error.errno not in (errno.ESRCH, errno.EPERM):
                raise


def reaped() -> list[tuple[int, int]]:
    """Return pid and wait status of each child that has ended."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, status))


def is_childless() -> bool:
    """Say whether this process has no child, dead or alive."""
    reaped()
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False


def become_subreaper() -> None:
    """Inherit, from now on, every orphan that is made below this process."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Have this process killed when the one that forked it dies."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _load_prctl() -> Callable[[int, int], Any]:
    try:
        function: Callable[[int, int], Any] = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return lambda _option, _value: None  # not Linux: sessions are all there is
    return function


_prctl = _load_prctl()
