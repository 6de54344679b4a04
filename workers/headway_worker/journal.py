"""What this worker claims and runs, so that its next boot can end and report what was left.

A file of fixed records mapped into memory: to note something is to copy some bytes, and what was
noted outlives the worker's death, however sudden. It need not outlive the machine's: after that
there is no process left to find, and the leases run out.
"""

from __future__ import annotations

import mmap
import os
import threading
from pathlib import Path

import orjson

from headway.crash_points import crash_point

_RECORD_BYTES = 1024
_FREE, _USED = 0, 1
Record = dict[str, str | int]


class Journal:
    """A record for each running attempt; safe to use from many threads."""

    def __init__(self, path: Path, *, boot: str, machine_boot: str, slots: int) -> None:
        self._boot = boot
        self._machine_boot = machine_boot
        self._lock = threading.Lock()
        self.left = [r for r in _read(path) if r.get("machine") == machine_boot != ""]
        self._records = _mapped(path, len(self.left) + slots)
        self._free = list(range(len(self.left), len(self.left) + slots))
        self._open: dict[str, tuple[int, Record]] = {}
        self._keep_left()

    @crash_point("journal.keep_left")
    def _keep_left(self) -> None:
        """Note again what earlier boots left: the file is empty now."""
        for index, record in enumerate(self.left):
            self._note(index, record)

    @crash_point("journal.begin")
    def begin(self, attempt: str, fence: int) -> None:
        """Note an attempt before its claim.

        A claim may be won without our living to hear of it: the next boot then says so, and nobody
        waits for the end of its lease. One that was not won is of no interest to the coordinator.
        """
        record: Record = {
            "attempt": attempt,
            "fence": fence,
            "boot": self._boot,
            "machine": self._machine_boot,
        }
        with self._lock:
            index = self._free.pop()
            self._open[attempt] = (index, record)
            self._note(index, record)

    @crash_point("journal.settled")
    def settled(self, attempt: str, scratch: str) -> None:
        """Note the attempt's folder, which marks its processes, before the first of them starts."""
        self._add(attempt, {"scratch": scratch})

    @crash_point("journal.started")
    def started(self, attempt: str, pid: int, start: str) -> None:
        """Note the process that all of the attempt's processes are below."""
        self._add(attempt, {"pid": pid, "start": start})

    @crash_point("journal.end")
    def end(self, attempt: str) -> None:
        """Note that the attempt's processes are gone and its completion, if any, is spooled."""
        with self._lock:
            found = self._open.pop(attempt, None)
            if found is not None:
                self._clear(found[0])
                self._free.append(found[0])

    @crash_point("journal.forget_left")
    def forget_left(self) -> None:
        """Drop what earlier boots left, after the coordinator was told."""
        with self._lock:
            for index in range(len(self.left)):
                self._clear(index)
            self.left = []

    def close(self) -> None:
        self._records.close()

    def _add(self, attempt: str, more: Record) -> None:
        with self._lock:
            if attempt in self._open:
                index, record = self._open[attempt]
                record |= more
                self._note(index, record)

    def _note(self, index: int, record: Record) -> None:
        """Write a record; it counts only once its first byte says so."""
        data = orjson.dumps(record)
        assert len(data) < _RECORD_BYTES
        at = index * _RECORD_BYTES
        self._records[at] = _FREE
        self._records[at + 1 : at + _RECORD_BYTES] = data.ljust(_RECORD_BYTES - 1, b"\0")
        self._records[at] = _USED

    def _clear(self, index: int) -> None:
        self._records[index * _RECORD_BYTES] = _FREE


def _read(path: Path) -> list[Record]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    records: list[Record] = []
    for at in range(0, len(data) - _RECORD_BYTES + 1, _RECORD_BYTES):
        if data[at] == _USED:
            try:
                records.append(orjson.loads(data[at + 1 : at + _RECORD_BYTES].rstrip(b"\0")))
            except ValueError:
                continue  # torn by the crash of the machine
    return records


def _mapped(path: Path, records: int) -> mmap.mmap:
    """Return the file, made to hold so many records and nothing else."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        # Written, not only sized: a full disk must show here, not as a signal on a later access.
        os.write(fd, bytes(records * _RECORD_BYTES))
        return mmap.mmap(fd, records * _RECORD_BYTES)
    finally:
        os.close(fd)
