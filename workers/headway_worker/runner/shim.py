"""Stands between the launcher and one process of a step. Standard library only.

Forked, not executed. It leads a session of its own and is a subreaper: whatever the step starts,
also `setsid` daemons, stays below it and is found and killed with it.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import time
from typing import Any, NoReturn

from headway_worker.runner.processtree import (
    become_subreaper,
    descendants,
    die_with_parent,
    is_childless,
    kill_below,
    reaped,
    signal_all,
    started,
)

LINGER_SECONDS = (
    0.1  # what a step leaves behind may still flush (`> >(tee log)`) before it is killed
)
_RETRY_SECONDS = 0.01
_TO_DEFAULT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ)


class Shim:
    """One process and all below it; lives as long as any of them."""

    def __init__(self, request: dict[str, Any], fds: list[int], life: int, null: int) -> None:
        self._request = request
        self._control = socket.socket(fileno=fds[0])
        self._fds = fds
        self._life = life
        self._null = null
        self._kill_at: float | None = None

    def run(self) -> int:
        """Start the process, tell how it ended, leave nothing behind."""
        os.setsid()
        become_subreaper()
        self._wake = wake_on_child()
        main_pid = self._start()
        for fd in self._fds[1:]:
            os.close(fd)
        self._tell({"pid": os.getpid(), "started": started(os.getpid())})
        status = self._tend(main_pid)
        left = self._clear()
        if status is not None:
            self._tell({"status": status, "left": left})
        return 0

    def _start(self) -> int:
        shim_pid = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                self._become_process(shim_pid)
            except OSError as error:
                what = error.filename or self._request["argv"][0]
                self._tell({"failed": f"{what}: {error.strerror}"})
            finally:
                os._exit(127)
        return pid

    def _become_process(self, shim_pid: int) -> NoReturn:
        request = self._request
        signal.set_wakeup_fd(-1)
        for number in (*_TO_DEFAULT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        die_with_parent()
        if os.getppid() != shim_pid:
            os._exit(127)  # the shim died before the line above could tie us to it
        if request.get("reaper"):
            become_subreaper()
        _prefer_for_oom_kill()
        os.chdir(request["cwd"])
        _place({0: self._null, 1: self._fds[1], 2: self._fds[1], 3: _at(self._fds, 2)})
        os.execvpe(request["argv"][0], request["argv"], request["env"])

    def _tend(self, main_pid: int) -> int | None:
        """Return the main process's wait status; None when the worker or the launcher is gone."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._life, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll(self._patience())}
            drain(self._wake)
            for pid, status in reaped():
                if pid == main_pid:
                    return status
            if self._life in ready or (self._control.fileno() in ready and not self._obey()):
                return None
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                signal_all(descendants(os.getpid()), signal.SIGKILL)

    def _patience(self) -> int | None:
        if self._kill_at is None:
            return None
        left = self._kill_at - time.monotonic()
        return max(1, int(left * 1000) + 1) if left > 0 else int(_RETRY_SECONDS * 1000)

    def _obey(self) -> bool:
        """Carry out the worker's order to stop; False at its end of file."""
        try:
            order = self._control.recv(64)
        except OSError:
            return False
        if not order:
            return False
        grace = min(float(word) for word in order.decode().split())
        kill_at = time.monotonic() + grace
        if self._kill_at is None or kill_at < self._kill_at:
            self._kill_at = kill_at
        if grace > 0:
            signal_all(descendants(os.getpid()), signal.SIGTERM)
        return True

    def _clear(self) -> int:
        """Wait for what the process left in the background, then kill it; return what stayed."""
        now = time.monotonic()
        alone = now if self._orphaned() else (self._kill_at or now + LINGER_SECONDS)
        while time.monotonic() < alone:
            if is_childless():
                return 0
            select.select([self._wake], [], [], _RETRY_SECONDS)
            if self._orphaned():
                break
        return kill_below(os.getpid())

    def _orphaned(self) -> bool:
        poll = select.poll()
        poll.register(self._life, select.POLLIN)
        poll.register(self._control, select.POLLHUP)
        return any(event & select.POLLHUP for _, event in poll.poll(0))

    def _tell(self, message: dict[str, Any]) -> None:
        try:
            self._control.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            pass  # the worker is gone; the end of file is seen elsewhere


def wake_on_child() -> int:
    """Return a descriptor that becomes readable when a child ends."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    signal.signal(signal.SIGCHLD, _nothing)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    return read


def _nothing(_number: int, _frame: object) -> None:
    """A handler must exist for the wake-up descriptor to be written to."""


def drain(fd: int) -> None:
    """Read away what woke us."""
    try:
        while os.read(fd, 512):
            pass
    except BlockingIOError:
        pass


def _place(wanted: dict[int, int | None]) -> None:
    """Put each descriptor where the process expects it, first moving all out of the way."""
    moved = {
        target: _duplicate_high(source) for target, source in wanted.items() if source is not None
    }
    for target, source in moved.items():
        os.dup2(source, target, inheritable=True)


def _duplicate_high(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)


def _at(fds: list[int], index: int) -> int | None:
    return fds[index] if index < len(fds) else None


def _prefer_for_oom_kill() -> None:
    """Out of memory, the kernel shall take a step before the worker that watches it."""
    try:
        with open("/proc/self/oom_score_adj", "wb", buffering=0) as score:
            score.write(b"500")
    except OSError:
        pass
