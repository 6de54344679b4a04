"""Who this worker is: a stable name from a folder that it locks, and a boot new each start."""

from __future__ import annotations

import fcntl
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from headway.clock import Clock
from headway.errors import UnavailableError
from headway.ids import new_id

_MOST_WORKERS = 1000


@dataclass(frozen=True, slots=True)
class Identity:
    """`worker` outlives restarts, `boot` does not; `machine_boot` names the machine's start."""

    worker: str
    boot: str
    hostname: str
    machine_boot: str
    folder: Path


class StateFolder:
    """A worker's locked folder; the lock ends with the process, however that ends."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def open(cls, base: Path) -> StateFolder:
        """Return the first `worker-N` folder below `base` that no living worker holds.

        Raises:
            UnavailableError: `state_dir`, it cannot be made or written.
        """
        try:
            for number in range(_MOST_WORKERS):
                path = base / f"worker-{number}"
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(lock)
                    continue
                return cls(path, lock)
        except OSError as error:
            raise UnavailableError(
                "state_dir",
                f"the state folder {base} cannot be used: {error}",
                "Set HEADWAY_STATE_DIR to a folder that this user can write.",
            ) from error
        raise UnavailableError("state_dir", f"{base} holds {_MOST_WORKERS} busy worker folders")

    def identity(self, clock: Clock) -> Identity:
        """Return who the worker in this folder is, this time."""
        hostname = socket.gethostname()
        name = self.path / "worker"
        try:
            worker = name.read_text().strip()
        except FileNotFoundError:
            worker = ""
        if not worker:
            plain = re.sub(r"[^A-Za-z0-9.-]", "-", hostname)[:60] or "worker"
            worker = f"{plain}-{new_id(clock)[-10:]}"
            name.write_text(worker + "\n")
        return Identity(worker, new_id(clock), hostname[:200], machine_boot(), self.path)

    def close(self) -> None:
        """Let another worker have the folder."""
        os.close(self._lock)


def machine_boot() -> str:
    """Return the kernel's id of this boot of the machine; empty where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
