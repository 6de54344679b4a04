"""Completions on disk until the coordinator has acknowledged them.

Append-only segments of one JSON line a completion; one fdatasync a batch. A segment is deleted
when each of its completions is acknowledged, so a restart may send some again: the coordinator
knows them by attempt. A torn last line was never promised to anybody and is skipped.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import structlog

from headway.crash_points import crash_point
from headway.errors import UnavailableError
from headway.protocol.messages import Sealed
from headway_worker.batching import Batcher

_SEGMENT_BYTES = 1 << 20
_FULL_SHARE = 0.8
_PROBE_BYTES = 4096
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Entry:
    """One completion as it travels; sealed once, and sent as it is even by a later boot."""

    attempt: str
    fence: int
    sealed: Sealed

    def line(self) -> bytes:
        return orjson.dumps(
            {
                "attempt": self.attempt,
                "fence": self.fence,
                "body": self.sealed.body,
                "mac": self.sealed.mac,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )


@dataclass(slots=True)
class _Segment:
    path: Path
    fd: int
    size: int
    live: set[str]


class Spool:
    """Safe to use from many threads; the folder is this worker's alone."""

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._entries: dict[str, tuple[Entry, _Segment | None]] = {}
        self._segments: list[_Segment] = []
        self._next = 0
        self._broken = False
        self._closed = threading.Event()
        self._batcher: Batcher[Entry, bool] = Batcher(self._write)
        self._load()

    def append(self, entry: Entry) -> bool:
        """Return once the completion is on disk; False if the disk refused it.

        It is kept in memory even then, so that it can still be sent.
        """
        return self._batcher.submit(entry)

    def pending(self) -> list[Entry]:
        """Return what is not acknowledged, oldest first."""
        with self._lock:
            return [entry for entry, _ in self._entries.values()]

    def get(self, attempt: str) -> Entry | None:
        """Return an attempt's completion if it is not acknowledged."""
        with self._lock:
            found = self._entries.get(attempt)
            return found[0] if found else None

    @crash_point("spool.discard")
    def discard(self, attempts: Iterable[str]) -> None:
        """Forget acknowledged completions."""
        with self._lock:
            for attempt in attempts:
                found = self._entries.pop(attempt, None)
                if found is not None and found[1] is not None:
                    found[1].live.discard(attempt)
            self._drop_finished()

    def is_full(self) -> bool:
        """Say whether no claim should be made: over 80 % of the limit, or the disk refuses.

        A disk that refused is tried again: with no claims there is nothing else to write.
        """
        if self._broken and self._disk_takes():
            self._broken = False
        with self._lock:
            # The one that is written to stays when nothing in it is alive; without a claim nothing
            # would ever be written that makes it go.
            used = sum(segment.size for segment in self._segments if segment.live)
            return self._broken or used > self._limit * _FULL_SHARE

    def wait_for_room(self, seconds: float) -> bool:
        """Say whether there is room, after waiting for it once if there was none."""
        if not self.is_full():
            return True
        self._closed.wait(seconds)
        return not self.is_full()

    def close(self) -> None:
        """Close the files; what is pending stays on disk."""
        self._closed.set()
        with self._lock:
            for segment in self._segments:
                self._retire(segment)
                if not segment.live:
                    segment.path.unlink(missing_ok=True)

    @crash_point("spool.write")
    def _write(self, batch: Sequence[Entry]) -> list[bool]:
        segment: _Segment | None = None
        try:
            segment = self._current()
            data = b"".join(entry.line() for entry in batch)
            _write_all(segment.fd, data)
            _sync(segment.fd)
            segment.size += len(data)
            on_disk = True
        except OSError as error:
            _log.error("spool_refused", error=str(error), completions=len(batch))
            on_disk = False
        with self._lock:
            self._broken = not on_disk
            if not on_disk and segment is not None:
                self._retire(segment)  # a torn line may be its last
            for entry in batch:
                self._entries[entry.attempt] = (entry, segment if on_disk else None)
                if on_disk and segment is not None:
                    segment.live.add(entry.attempt)
        return [on_disk] * len(batch)

    def _current(self) -> _Segment:
        """Return the segment to write to; only the batch's sender comes here."""
        with self._lock:
            if self._segments and self._segments[-1].size < _SEGMENT_BYTES:
                last = self._segments[-1]
                if last.fd >= 0:
                    return last
        path = self._folder / f"{self._next:012d}.log"
        self._next += 1
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        _sync_folder(self._folder)
        segment = _Segment(path, fd, 0, set())
        with self._lock:
            self._segments.append(segment)
            self._drop_finished()
        return segment

    def _drop_finished(self) -> None:
        """Delete the segments that hold nothing alive, but the one that is written to."""
        for segment in self._segments[:-1]:
            if not segment.live:
                self._retire(segment)
                segment.path.unlink(missing_ok=True)
                self._segments.remove(segment)

    def _retire(self, segment: _Segment) -> None:
        """Write to the segment no more."""
        if segment.fd >= 0:
            os.close(segment.fd)
            segment.fd = -1

    def _disk_takes(self) -> bool:
        """Say whether the disk takes a small file now."""
        path = self._folder / "probe"
        try:
            how = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_DSYNC
            fd = os.open(path, how, 0o600)
            try:
                _write_all(fd, bytes(_PROBE_BYTES))
            finally:
                os.close(fd)
                path.unlink(missing_ok=True)
        except OSError:
            return False
        return True

    def _load(self) -> None:
        for path in sorted(self._folder.glob("*.log")):
            self._next = int(path.stem) + 1
            data = path.read_bytes()
            segment = _Segment(path, -1, len(data), set())
            for line in data.splitlines():
                entry = _parsed(line)
                if entry is not None:
                    self._entries[entry.attempt] = (entry, segment)
                    segment.live.add(entry.attempt)
            if segment.live:
                self._segments.append(segment)
            else:
                path.unlink()


def ensure_room(spool: Spool) -> None:
    """Raise UnavailableError (`spool_full`) if no further completion is sure to be kept."""
    if spool.is_full():
        raise UnavailableError(
            "spool_full",
            "the completion spool is over 80 % full or its disk refuses writes",
            "Free disk space, or bring a coordinator back that takes the completions.",
        )


def _parsed(line: bytes) -> Entry | None:
    try:
        value = orjson.loads(line)
        sealed = Sealed(body=value["body"], mac=value["mac"])
        return Entry(value["attempt"], value["fence"], sealed)
    except (ValueError, KeyError, TypeError):
        _log.warning("spool_line_skipped", size=len(line))
        return None


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


@crash_point("spool.sync")
def _sync(fd: int) -> None:
    os.fdatasync(fd)


@crash_point("spool.folder")
def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
