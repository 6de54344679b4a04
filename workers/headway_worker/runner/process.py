"""One process of a step, seen from the worker: its output, its end, and how to stop it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

READ_BYTES = 64 * 1024
GRACE_SECONDS = 5.0
_OVERDUE_SECONDS = 15.0  # longer than a shim's own patience with what does not die
_log = structlog.get_logger()


class Sink(Protocol):
    """Where a process's output goes."""

    def write(self, data: bytes) -> None: ...

    def is_full(self) -> bool:
        """Say whether the process should be left waiting on its pipe."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: a code, a signal, or a `problem` if it never started or was lost."""

    code: int | None = None
    signal: int | None = None
    problem: str | None = None
    lost: bool = False

    def describe(self) -> str:
        """Return the end as a clause: `exited with status 3`, `was killed by SIGKILL`."""
        if self.problem is not None:
            return self.problem
        if self.signal is not None:
            try:
                return f"was killed by {signal.Signals(self.signal).name}"
            except ValueError:
                return f"was killed by signal {self.signal}"
        return f"exited with status {self.code}"


class Process:
    """A started process. One thread pumps it; any thread may stop it."""

    def __init__(
        self,
        control: socket.socket,
        output: int,
        talk: socket.socket | None,
        abandon: Callable[[], None],
    ) -> None:
        self._control = control
        self.output = output
        self.talk = talk
        self._abandon = abandon
        self._lock = threading.Lock()
        self._heard = b""
        self._failed: str | None = None
        self._overdue_at: float | None = None
        self.may_hold_output = True
        self.exit: Exit | None = None
        self.identity: tuple[int, str] | None = None
        self.on_started: Callable[[int, str], None] | None = None
        os.set_blocking(output, False)

    def stop(self, grace: float = GRACE_SECONDS) -> None:
        """Ask for the end of the process and all below it: TERM now, KILL after `grace` seconds."""
        with self._lock:
            overdue_at = time.monotonic() + grace + _OVERDUE_SECONDS
            self._overdue_at = min(overdue_at, self._overdue_at or overdue_at)
            if self._control.fileno() >= 0:
                try:
                    self._control.sendall(f"{grace:.3f} ".encode())
                except OSError:
                    pass  # it has ended; the pump sees that

    def pump(
        self,
        sink: Sink,
        *,
        deadline: float | None = None,
        on_deadline: Callable[[], None] | None = None,
        talk: bool = False,
    ) -> bool:
        """Move output to `sink` until the end, or a message to read if `talk`; say if it goes on.

        `on_deadline` is called once at the monotonic time `deadline`; it is expected to stop the
        process, so the wait then goes on to its end.
        """
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        if talk and self.talk is not None:
            poll.register(self.talk, select.POLLIN)
        reading = False
        while self.exit is None:
            reading = self._attend_output(poll, sink, reading)
            ready = {fd for fd, _ in poll.poll(self._patience(deadline, reading))}
            if deadline is not None and on_deadline and time.monotonic() >= deadline:
                deadline = None
                on_deadline()
            if self.output in ready and not self._copy(sink):
                poll.unregister(self.output)
                os.close(self.output)
                self.output = -1
            if talk and self.talk is not None and self.talk.fileno() in ready:
                # Output was asked about after the message, and what comes before a message is in
                # the pipe by then: if it was not ready there is none.
                self.may_hold_output = not reading or self.output in ready
                return True
            if self._control.fileno() in ready:
                self._listen()
            self._give_up_if_overdue()
        self.copy_waiting(sink)
        return False

    def copy_waiting(self, sink: Sink) -> None:
        """Move what the pipe holds now to `sink`."""
        while self.output >= 0:
            try:
                data = os.read(self.output, READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                return
            sink.write(data)

    def is_alive(self) -> bool:
        """Say whether the process had not ended when asked."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        while self.exit is None and poll.poll(0):
            self._listen()
        return self.exit is None

    def close(self) -> None:
        """Free the descriptors; if the process still runs, this end of file kills it."""
        with self._lock:
            self._control.close()
        if self.talk is not None:
            self.talk.close()
        if self.output >= 0:
            os.close(self.output)
            self.output = -1

    def _attend_output(self, poll: select.poll, sink: Sink, reading: bool) -> bool:
        wanted = self.output >= 0 and not sink.is_full()
        if wanted and not reading:
            poll.register(self.output, select.POLLIN)
        elif reading and not wanted and self.output >= 0:
            poll.unregister(self.output)
        return wanted

    def _patience(self, until: float | None, reading: bool) -> float | None:
        waits = [] if reading or self.output < 0 else [0.1]
        now = time.monotonic()
        waits += [t - now for t in (until, self._overdue_at) if t is not None]
        return max(0.0, min(waits)) * 1000 + 1 if waits else None

    def _copy(self, sink: Sink) -> bool:
        try:
            data = os.read(self.output, READ_BYTES)
        except BlockingIOError:
            return True
        if data:
            sink.write(data)
        return bool(data)

    def _listen(self) -> None:
        try:
            data = self._control.recv(4096)
        except OSError:
            data = b""
        if not data:
            self.exit = Exit(problem="its process was lost sight of", lost=True)
            return
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, message: dict[str, Any]) -> None:
        if "pid" in message:
            self.identity = (message["pid"], message["started"])
            if self.on_started is not None:
                self.on_started(*self.identity)
        elif "failed" in message:
            self._failed = message["failed"]
        elif self._failed is not None:
            self.exit = Exit(code=127, problem=f"could not be started: {self._failed}")
        else:
            if message["left"]:  # another user's, or stuck in the kernel
                _log.error("processes_left", number=message["left"])
            code = os.waitstatus_to_exitcode(message["status"])
            self.exit = Exit(code=code) if code >= 0 else Exit(signal=-code)

    def _give_up_if_overdue(self) -> None:
        """A shim that a step has stopped or killed cannot obey; the launcher then ends it."""
        if self.exit is None and self._overdue_at and time.monotonic() > self._overdue_at:
            self._overdue_at = None
            self._abandon()
