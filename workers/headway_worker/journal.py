"""Which attempts this worker started, so that its next boot can end and report what was left.

It need not survive the machine's crash, only the worker's, so nothing is synced: after a restart
of the machine there is no process left to find, and the leases run out.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from headway.protocol.messages import Held
from headway_worker.runner import launcher

_COMPACT_LINES = 10_000


class Journal:
    """An append-only file of starts and ends; safe to use from many threads."""

    def __init__(self, path: Path, *, boot: str, machine_boot: str) -> None:
        self._path = path
        self._boot = boot
        self._machine_boot = machine_boot
        self._lock = threading.Lock()
        self._open: dict[str, dict[str, object]] = {}
        self._lines = 0
        self.left = self._read()
        self._file = self._fresh()

    def begin(self, attempt: str, fence: int, scratch: str) -> None:
        """Note an attempt before its first process starts."""
        record: dict[str, object] = {
            "attempt": attempt,
            "fence": fence,
            "boot": self._boot,
            "machine": self._machine_boot,
            "scratch": scratch,
        }
        with self._lock:
            self._open[attempt] = record
            self._append(record)

    def started(self, attempt: str, pid: int, start: str) -> None:
        """Note the process that all of the attempt's processes are below."""
        with self._lock:
            if attempt in self._open:
                self._open[attempt] |= {"pid": pid, "start": start}
                self._append(self._open[attempt])

    def end(self, attempt: str) -> None:
        """Note that the attempt's processes are gone and its completion is spooled."""
        with self._lock:
            if self._open.pop(attempt, None) is not None:
                self._append({"end": attempt})
                if self._lines > _COMPACT_LINES:
                    os.close(self._file)
                    self._file = self._fresh()

    def close(self) -> None:
        os.close(self._file)

    def _append(self, record: dict[str, object]) -> None:
        os.write(self._file, json.dumps(record).encode() + b"\n")
        self._lines += 1

    def _read(self) -> list[dict[str, object]]:
        """Return the open attempts of earlier boots on this boot of the machine."""
        found: dict[str, dict[str, object]] = {}
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue  # torn by the crash
            if "end" in record:
                found.pop(record["end"], None)
            elif record.get("machine") == self._machine_boot != "":
                found[record["attempt"]] = record
        return list(found.values())

    def _fresh(self) -> int:
        """Replace the file by one that holds only what is open, also of earlier boots."""
        new = self._path.with_suffix(".new")
        keep = [*self.left, *self._open.values()]
        new.write_text("".join(json.dumps(record) + "\n" for record in keep))
        new.replace(self._path)
        self._lines = 0
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def forget_left(self) -> None:
        """Drop what earlier boots left, after the coordinator was told."""
        with self._lock:
            self.left = []
            os.close(self._file)
            self._file = self._fresh()


def reap(
    left: Iterable[dict[str, object]],
    spooled: Iterable[str],
    *,
    pause: Callable[[float], None],
) -> list[Held]:
    """Kill what earlier boots left running; return the attempts that so ended without a result."""
    left = list(left)
    known = set(spooled)
    passes = 0
    while (pids := _leftovers(left)) and passes < 500:
        launcher.signal_all(sorted(pids), signal.SIGKILL)
        pause(0.01)
        passes += 1
    return [
        Held(attempt=str(r["attempt"]), fence=int(str(r["fence"])))
        for r in left
        if r["attempt"] not in known
    ]


def _leftovers(left: list[dict[str, object]]) -> set[int]:
    """Return the living processes of journaled attempts: below, in the session, or so marked."""
    if not left:
        return set()
    roots = {int(str(r["pid"])): str(r["start"]) for r in left if "pid" in r}
    scratches = {str(r["scratch"]).encode() for r in left}
    table = launcher.parents()
    found: set[int] = set()
    for pid in table:
        fields = launcher.stat_fields(pid)
        if not fields or fields[0] == "Z" or pid == os.getpid():
            continue
        session = int(fields[3])
        if pid in roots and fields[19] == roots[pid]:
            found |= {pid, *launcher.descendants(pid)}
        elif session in roots and int(fields[19]) >= int(roots[session] or 0):
            found.add(pid)
        elif _marked(pid, scratches):
            found.add(pid)
    return found


def _marked(pid: int, scratches: set[bytes]) -> bool:
    """Say whether the process carries an attempt's own folder in its environment."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    prefix = b"HEADWAY_WORKDIR="
    return any(
        entry[len(prefix) :] in scratches
        for entry in environment.split(b"\0")
        if entry.startswith(prefix)
    )
