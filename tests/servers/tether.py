"""Run as a script: becomes another program that dies with the process that started it.

    python tether.py SIGNAL USER|- PROGRAM ARGUMENT…

It is a program of its own because code between fork and exec (`preexec_fn`) may deadlock a
parent that has threads. It stays importable with the standard library alone: `-S -E` starts it.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import sys

_PR_SET_PDEATHSIG = 1


def command(program: list[str], *, dies_by: signal.Signals, user: str | None = None) -> list[str]:
    """Return the argument list that starts `program` tethered to the caller, as `user`."""
    script = [sys.executable, "-S", "-E", __file__]
    return [*script, str(int(dies_by)), user or "-", *program]


def main(arguments: list[str]) -> None:
    dies_by, user, *program = arguments
    if user != "-":
        become(user)
    # Changing the user clears the death signal, so this comes second.
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(dies_by), 0, 0, 0)
        if os.getppid() == 1:  # The parent died before the line above.
            sys.exit("tether: the parent is gone")
    os.execvp(program[0], program)


def become(user: str) -> None:
    account = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)


if __name__ == "__main__":
    main(sys.argv[1:])
