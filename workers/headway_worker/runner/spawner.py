"""The worker's side of the launcher: starts it, hands it requests, starts it again if it died."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from headway.errors import UnavailableError
from headway_worker.runner.process import Process

_PACKAGES = str(Path(__file__).parents[2])
_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]);"
    "from headway_worker.runner.launcher import main; main(int(sys.argv[2]))"
)
_FRAME = struct.Struct("!I")


class Spawner:
    """Starts processes through a launcher of its own; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._launcher: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._number = 0

    def start(self) -> None:
        """Start the launcher, before any thread or connection exists that it could inherit."""
        with self._lock:
            self._start()

    def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        talk: bool = False,
    ) -> Process:
        """Return a started process; with `talk` it has a socket to us as its descriptor 3.

        Raises:
            UnavailableError: `no_launcher`, it could not be started again.
        """
        control, shim_control = socket.socketpair()
        output, shim_output = os.pipe()
        ours, theirs = socket.socketpair() if talk else (None, None)
        fds = [shim_control.fileno(), shim_output, *([theirs.fileno()] if theirs else [])]
        try:
            number = self._request(
                {"argv": list(argv), "env": dict(env), "cwd": cwd, "reaper": talk}, fds
            )
        except BaseException:
            control.close()
            os.close(output)
            if ours:
                ours.close()
            raise
        finally:
            shim_control.close()
            os.close(shim_output)
            if theirs:
                theirs.close()
        return Process(control, output, ours, lambda: self._abandon(number))

    def close(self) -> None:
        """End the launcher and with it every process that is left."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None
            if self._launcher is not None:
                self._launcher.wait()
                self._launcher = None

    def _request(self, request: dict[str, object], fds: list[int]) -> int:
        with self._lock:
            self._number += 1
            number = self._number
            payload = json.dumps({"id": number, **request}).encode()
            for last in (False, True):
                try:
                    self._send(payload, fds)
                    return number
                except OSError as error:
                    if last:
                        raise UnavailableError(
                            "no_launcher", f"the process launcher does not answer: {error}"
                        ) from error
                    self._start()
        raise AssertionError("unreachable")

    def _send(self, payload: bytes, fds: list[int]) -> None:
        if self._socket is None:
            raise OSError("not started")
        data = _FRAME.pack(len(payload)) + payload
        sent = socket.send_fds(self._socket, [data], fds)
        if sent < len(data):
            self._socket.sendall(data[sent:])

    def _abandon(self, number: int) -> None:
        with self._lock:
            try:
                self._send(json.dumps({"abandon": number}).encode(), [])
            except OSError:
                pass  # no launcher, no shim

    def trust(self, seconds: float) -> None:
        """Tell the launcher to end all steps unless it hears again within `seconds`."""
        with self._lock:
            try:
                self._send(json.dumps({"trusted_for": max(0.0, seconds)}).encode(), [])
            except OSError:
                pass  # no launcher, no step

    def _start(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._launcher is not None:
            self._launcher.wait()
        ours, theirs = socket.socketpair()
        with theirs:
            # Its own session, so that Ctrl-C in a terminal reaches the worker alone, and an
            # environment without the worker's tokens, which steps could read from /proc.
            self._launcher = subprocess.Popen(
                [sys.executable, "-S", "-I", "-c", _PROGRAM, _PACKAGES, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                env={"PATH": os.environ.get("PATH", os.defpath)},
            )
        self._socket = ours
