"""A small program that owns every process of a worker's steps, so that each can be ended whole.

The worker starts it before all else and speaks to it over a Unix socket: one length-prefixed JSON
request a process, its descriptors sent along. For every request the launcher forks a `Shim`,
which needs no exec and so costs about a millisecond.

A worker that is alive but stopped cannot end its steps when their lease runs out elsewhere: it
tells the launcher for how long its leases are good, and past that the launcher ends all steps.

Three deaths are covered, each by an end of file that nothing can fake or delay:
the worker's (the shim's control socket), the launcher's (the life pipe whose write end only the
launcher holds) and the shim's (its orphans fall to the launcher, itself a subreaper).

Standard library only: with `-S -I` it starts at once and no installed package can disturb it.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import struct
import time
from typing import Any, NoReturn

from headway_worker.runner.processtree import (
    become_subreaper,
    below,
    descendants,
    kill_below,
    parents,
    reaped,
    signal_all,
)
from headway_worker.runner.shim import Shim, drain, wake_on_child

_FRAME = struct.Struct("!I")
_MAX_FDS = 4


def main(descriptor: int) -> None:
    """Serve requests from a socket until its end of file; then kill everything."""
    worker = socket.socket(fileno=descriptor)
    worker.set_inheritable(False)
    for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    become_subreaper()
    gc.freeze()
    gc.disable()
    Launcher(worker).serve()


class Launcher:
    """The loop of the launcher itself: forks shims, reaps them, and kills what they lost."""

    def __init__(self, worker: socket.socket) -> None:
        self._worker = worker
        self._life, self._life_held = os.pipe()
        self._null = os.open(os.devnull, os.O_RDONLY)
        self._wake = wake_on_child()
        self._shims: dict[int, int] = {}  # pid -> id of the request
        self._trusted_until: float | None = None  # monotonic; None: nothing was said

    def serve(self) -> None:
        """Return after the worker went away and every descendant is dead."""
        poll = select.poll()
        poll.register(self._worker, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll(self._patience_ms())}
            self._end_what_is_over()
            if self._wake in ready:
                drain(self._wake)
                self._reap()
            if self._worker.fileno() in ready:
                received = receive(self._worker)
                if received is None:
                    kill_below(os.getpid())
                    return
                self._answer(*received)

    def _patience_ms(self) -> float | None:
        if self._trusted_until is None or not self._shims:
            return None
        return max(0.0, self._trusted_until - time.monotonic()) * 1000 + 1

    def _end_what_is_over(self) -> None:
        """Kill every step once the worker's leases are over: they may run elsewhere soon."""
        if self._trusted_until is None or time.monotonic() < self._trusted_until:
            return
        for pid in list(self._shims):
            signal_all([pid, *descendants(pid)], signal.SIGKILL)
        self._trusted_until = None

    def _answer(self, request: dict[str, Any], fds: list[int]) -> None:
        if "trusted_for" in request:
            self._trusted_until = time.monotonic() + request["trusted_for"]
            return
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
        for pid, status in reaped():
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
                signal_all([pid, *below(pid, table)], signal.SIGKILL)


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
