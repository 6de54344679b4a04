"""Keeps child processes running: starts them, restarts what died, ends them in order.

Every child is its own session (a terminal's Ctrl-C reaches only the supervisor, which then ends
the children in good order) and is told by the kernel when the supervisor itself was killed.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from headway.clock import Clock
from headway.signals import Handler

log = structlog.get_logger("headway.supervisor")

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_STEADY_S = 10.0  # a child that lived this long is started again at once
_LONGEST_PAUSE_S = 10.0


@dataclass(frozen=True, slots=True)
class Child:
    """What to run. `essential` ones are not restarted: their end ends the whole.

    With `user`, only root may start it: it runs as that user, in that user's own group alone.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    output: Path | None = None
    grace_s: float = 15.0
    essential: bool = False
    user: str | None = None


# The exit status of wrong use: with the same settings the next start would end the same way.
WRONG_USE = 2


@dataclass(slots=True)
class _Running:
    child: Child
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    quick_ends: int = 0
    restart_at: float = 0.0


class Supervisor:
    """Start with `start`, call `tick` again and again, end with `stop`; all from one thread.

    The thread matters: the kernel tells children of the death of the thread that started them.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running: list[_Running] = []
        self.restarts = 0
        self._hurried = False

    def start(self, child: Child) -> int:
        """Start the child; returns its process id."""
        running = _Running(child)
        self._running.append(running)
        self._spawn(running)
        assert running.process is not None
        return running.process.pid

    def tick(self) -> str | None:
        """Restart what died; return the name of a child that ended and is essential, or whose
        settings are wrong, if one did."""
        now = self._clock.monotonic()
        for running in self._running:
            if running.process is not None and running.process.poll() is not None:
                status = running.process.returncode
                self._ended(running, now)
                if running.child.essential or status == WRONG_USE:
                    return running.child.name
            if running.process is None and now >= running.restart_at:
                self.restarts += 1
                self._spawn(running)
        return None

    def pids(self) -> dict[str, int]:
        """Return the process ids of the children that run."""
        return {r.child.name: r.process.pid for r in self._running if r.process is not None}

    def hurry(self) -> None:
        """Grant no more grace; may be called from a signal handler while `stop` waits."""
        self._hurried = True

    def stop(self) -> None:
        """End the children, the last started first, each with its grace before it is killed."""
        for running in reversed(self._running):
            process = running.process
            if process is None or process.poll() is not None:
                continue
            process.send_signal(signal.SIGTERM)
            if not self._ends(process, running.child.grace_s):
                log.warning("child_killed", child=running.child.name)
                process.kill()
                process.wait(5)
        self._running.clear()

    def _ends(self, process: subprocess.Popen[bytes], grace_s: float) -> bool:
        deadline = self._clock.monotonic() + grace_s
        while not self._hurried and self._clock.monotonic() < deadline:
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            return True
        return process.poll() is not None

    def _ended(self, running: _Running, now: float) -> None:
        assert running.process is not None
        status = running.process.returncode
        running.process = None
        steady = now - running.started >= _STEADY_S
        running.quick_ends = 0 if steady else running.quick_ends + 1
        pause = 0.0 if steady else min(_LONGEST_PAUSE_S, 0.2 * 2**running.quick_ends)
        running.restart_at = now + pause
        log.warning("child_ended", child=running.child.name, status=status, restart_in_s=pause)

    def _spawn(self, running: _Running) -> None:
        child = running.child
        parent = os.getpid()
        with _Output(child) as output:
            running.process = subprocess.Popen(
                list(child.argv),
                env={**os.environ, **child.env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output is not None else None,
                start_new_session=True,
                **become(child.user),
                # After the change of user, which would undo it.
                preexec_fn=lambda: _die_with(parent),
            )
        running.started = self._clock.monotonic()
        log.info("child_started", child=child.name, pid=running.process.pid)


class _Output:
    """The child's output file, open for appending while it is handed over; None: inherited."""

    def __init__(self, child: Child) -> None:
        self._path = child.output
        self._file: int | None = None

    def __enter__(self) -> int | None:
        if self._path is not None:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return self._file

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.close(self._file)


def become(user: str | None) -> dict[str, Any]:
    """Return what `Popen` is told of the user to become."""
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def _die_with(parent: int) -> None:
    """Ask the kernel for SIGTERM when the supervisor dies; runs in the child before exec."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)  # it died before we could ask


def supervise(supervisor: Supervisor, stop: threading.Event) -> str | None:
    """Tick until `stop` is set or an essential child ends; return that child's name."""
    while not stop.wait(0.2):
        ended = supervisor.tick()
        if ended is not None:
            return ended
    return None


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    handler = Handler(stop.set)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handler)
    return stop
