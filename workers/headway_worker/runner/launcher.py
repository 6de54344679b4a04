"""A small program that owns every process of a worker's steps, so that each can be ended whole.

The worker starts it before all else and speaks to it over a Unix socket: one length-prefixed JSON
request a process, its descriptors sent along. For every request the launcher forks a shim (no
exec, so it costs about a millisecond). The shim leads a session of its own and is a subreaper:
whatever the step starts, also `setsid` daemons, stays below it and is found and killed with it.

Three deaths are covered, each by an end of file that nothing can fake or delay:
the worker's (the shim's control socket), the launcher's (the life pipe whose write end only the
launcher holds) and the shim's (its orphans fall to the launcher, itself a subreaper).

Standard library only; it runs as `python -S -I launcher.py FD` and must not import Headway.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

LINGER_SECONDS = 0.1  # what a step leaves behind may still flush (`> >(tee log)`) before it is killed
GIVE_UP_SECONDS = 10.0  # a process of another user, or stuck in the kernel, must not hold the slot
_RETRY_SECONDS = 0.01
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_FRAME = struct.Struct("!I")
_MAX_FDS = 4
_TO_DEFAULT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ)


def main(argv: list[str]) -> int:
    """Serve requests from the socket `argv[1]` until its end of file; then kill everything."""
    worker = socket.socket(fileno=int(argv[1]))
    worker.set_inheritable(False)
    for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    gc.freeze()
    gc.disable()
    Launcher(worker).serve()
    return 0


class Launcher:
    """The loop of the launcher itself: forks shims, reaps them, and kills what they lost."""

    def __init__(self, worker: socket.socket) -> None:
        self._worker = worker
        self._life, self._life_held = os.pipe()
        self._null = os.open(os.devnull, os.O_RDONLY)
        self._wake = _wake_on_child()
        self._shims: dict[int, int] = {}  # pid -> id of the request

    def serve(self) -> None:
        """Return after the worker went away and every descendant is dead."""
        poll = select.poll()
        poll.register(self._worker, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._wake in ready:
                _drain(self._wake)
                self._reap()
            if self._worker.fileno() in ready:
                received = receive(self._worker)
                if received is None:
                    kill_below(os.getpid())
                    return
                self._answer(*received)

    def _answer(self, request: dict[str, Any], fds: list[int]) -> None:
        if "abandon" in request:
            for pid in [p for p, number in self._shims.items() if number == request["abandon"]]:
                signal_all([pid, *descendants(pid)], signal.SIGKILL)
            return
        pid = os.fork()
        if pid == 0:
            self._become_shim(request, fds)
        self._shims[pid] = request["id"]
        for fd in fds:
            os.close(fd)

    def _become_shim(self, request: dict[str, Any], fds: list[int]) -> NoReturn:
        status = 70
        try:
            # Held open here, these two would hide the launcher's death from everybody.
            os.close(self._life_held)
            self._worker.close()
            os.close(self._wake)
            status = Shim(request, fds, self._life, self._null).run()
        finally:
            os._exit(status)

    def _reap(self) -> None:
        strays = False
        for pid, status in _reaped():
            known = self._shims.pop(pid, None) is not None
            strays = strays or not known or os.WIFSIGNALED(status)
        if strays:
            self._kill_strays()

    def _kill_strays(self) -> None:
        """Kill what a killed shim left to us, with all that is below it."""
        table = parents()
        me = os.getpid()
        for pid, parent in table.items():
            if parent == me and pid not in self._shims:
                signal_all([pid, *_below(pid, table)], signal.SIGKILL)


class Shim:
    """Stands between the launcher and one process; lives as long as anything below it."""

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
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        self._wake = _wake_on_child()
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
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != shim_pid:
            os._exit(127)  # the shim died before the line above could tie us to it
        if request.get("reaper"):
            _prctl(_PR_SET_CHILD_SUBREAPER, 1)
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
            _drain(self._wake)
            for pid, status in _reaped():
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
            if _childless():
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


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return the next request and its descriptors; None at the end of file."""
    try:
        header, fds = _receive_exactly(sock, _FRAME.size)
        if header is None:
            return None
        payload, more = _receive_exactly(sock, _FRAME.unpack(header)[0])
    except OSError:
        return None
    if payload is None:
        return None
    request: dict[str, Any] = json.loads(payload)
    return request, fds + more


def _receive_exactly(sock: socket.socket, size: int) -> tuple[bytes | None, list[int]]:
    data, fds = b"", []
    room = socket.CMSG_SPACE(_MAX_FDS * 4)
    while len(data) < size:
        part, ancillary, _, _ = sock.recvmsg(size - len(data), room, socket.MSG_CMSG_CLOEXEC)
        for _, _, raw in ancillary:
            fds += list(struct.unpack(f"{len(raw) // 4}i", raw[: len(raw) // 4 * 4]))
        if not part:
            return None, fds
        data += part
    return data, fds


def kill_below(root: int, give_up: float = GIVE_UP_SECONDS) -> int:
    """Kill every descendant of this process `root`, again until none is left; return what stayed.

    Killing in passes catches what forks during a pass: its parent or itself dies in the next.
    """
    deadline = time.monotonic() + give_up
    while not _childless():
        remaining = descendants(root)
        if time.monotonic() > deadline:
            return len(remaining)
        signal_all(remaining, signal.SIGKILL)
        time.sleep(_RETRY_SECONDS / 10)
    return 0


def descendants(root: int) -> list[int]:
    """Return the pids of all processes below `root`."""
    return _below(root, parents())


def _below(root: int, table: dict[int, int]) -> list[int]:
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


def _reaped() -> list[tuple[int, int]]:
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, status))


def _childless() -> bool:
    _reaped()
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False


def _wake_on_child() -> int:
    """Return a descriptor that becomes readable when a child ends."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    signal.signal(signal.SIGCHLD, _nothing)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    return read


def _nothing(_number: int, _frame: object) -> None:
    """A handler must exist for the wake-up descriptor to be written to."""


def _drain(fd: int) -> None:
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


def _load_prctl() -> Callable[[int, int], Any]:
    try:
        function: Callable[[int, int], Any] = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return lambda _option, _value: None  # not Linux: sessions are all there is
    return function


_prctl = _load_prctl()

if __name__ == "__main__":
    sys.exit(main(sys.argv))
