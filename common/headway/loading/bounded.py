"""A child process that runs an author's module: what it may take, and what came of it."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from headway.clock import Clock

SECONDS = 20
MEMORY_BYTES = 2 * 1024**3
ANSWER_BYTES = 64 * 1024**2
PRINTED_BYTES = 256 * 1024
_GRACE_SECONDS = 3  # the child ends itself at its limit and says where; this is for one that cannot
_READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Ended:
    """`answer` is what the child wrote for us; `problem` why there is none."""

    answer: bytes
    problem: str | None = None


def run(file: Path, clock: Clock) -> Ended:
    """Run the child on a file; what the module prints goes to standard error, in part."""
    ours, theirs = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "headway.loading.child", str(file), str(theirs)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(theirs,),
            env=_environment(),
            start_new_session=True,
        )
    finally:
        os.close(theirs)
    assert process.stdout is not None
    try:
        return _hear(process, process.stdout.fileno(), ours, clock)
    finally:
        _end(process)
        os.close(ours)


def _environment() -> dict[str, str]:
    """Return our environment without Headway's addresses, tokens and keys: a definition that
    depends on them would be another one on another machine.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}


def _hear(process: subprocess.Popen[bytes], printed: int, answer: int, clock: Clock) -> Ended:
    deadline = clock.monotonic() + SECONDS + _GRACE_SECONDS
    heard = bytearray()
    shown = 0
    with selectors.DefaultSelector() as selector:
        for stream in (printed, answer):
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - clock.monotonic()
            ready = selector.select(left) if left > 0 else []
            if not ready:
                return Ended(b"", f"it took more than {SECONDS} s")
            for key, _ in ready:
                part = os.read(key.fd, _READ_BYTES)
                if not part:
                    selector.unregister(key.fd)
                elif key.fd == printed:
                    shown = _show(part, shown)
                else:
                    heard += part
            if len(heard) > ANSWER_BYTES:
                return Ended(b"", "it describes more than can be read")
            if answer not in selector.get_map():
                break  # a process that the module left behind may hold its output for ever
    return Ended(bytes(heard), None if heard else _cause(process))


def _show(part: bytes, shown: int) -> int:
    room = PRINTED_BYTES - shown
    if room > 0:
        sys.stderr.write(part[:room].decode("utf-8", "replace"))
        if len(part) > room:
            sys.stderr.write("\n… (more was printed)\n")
        sys.stderr.flush()
    return shown + len(part)


def _cause(process: subprocess.Popen[bytes]) -> str:
    status = process.wait()
    if status < 0:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
        return f"its process was ended by {name}, perhaps for want of memory"
    return f"its process exited with status {status} before it was done"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started in its session."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
