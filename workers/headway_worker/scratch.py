"""Each attempt's own folder: empty at its start, and nothing of it left after its end.

A folder that a step left as it was is handed to a later attempt: making and deleting folders costs
more than a short step itself. One that was used in any way is deleted whole.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from headway.clock import Clock

_MODE = 0o700
_SETTLED_SECONDS = 0.05  # far longer than a tick of the clock that file times are read from


@dataclass(frozen=True, slots=True)
class Scratch:
    """`work` is `$HEADWAY_WORKDIR`; output and inputs lie beside it, where no pattern looks.

    `stamps` tell whether the folders were changed since they were given out; none: look into them.
    """

    root: Path
    work: Path
    output: Path
    inputs: Path
    stamps: tuple[tuple[int, ...], ...] = ()


class ScratchFolders:
    """Hands out folders below `base`; safe to use from many threads."""

    def __init__(self, base: Path, clock: Clock) -> None:
        self._base = base
        self._clock = clock
        self._lock = threading.Lock()
        self._clean: list[Scratch] = []
        self._number = 0

    def prepare(self) -> None:
        """Delete what an earlier boot left."""
        if self._base.exists():
            delete(self._base)
        self._base.mkdir(mode=_MODE, parents=True)

    @contextmanager
    def folder(self) -> Iterator[Scratch]:
        """Give a fresh folder for as long as one attempt."""
        with self._lock:
            found = self._clean.pop() if self._clean else None
        scratch = found or self._make()
        if not scratch.stamps:
            scratch = _stamped(scratch, self._clock.now())
        try:
            yield scratch
        finally:
            if scratch.stamps and _has_stamps(scratch):
                self._keep(scratch)
            elif _is_untouched(scratch):
                self._keep(replace(scratch, stamps=()))
            else:
                delete(scratch.root)

    def _keep(self, scratch: Scratch) -> None:
        with self._lock:
            self._clean.append(scratch)

    def _make(self) -> Scratch:
        with self._lock:
            self._number += 1
            root = self._base / str(self._number)
        root.mkdir(mode=_MODE)
        scratch = Scratch(root, root / "work", root / "output", root / "inputs")
        scratch.work.mkdir(mode=_MODE)
        return scratch


def _stamped(scratch: Scratch, now: datetime) -> Scratch:
    """Return the empty folder with what tells whether anything was made in it.

    A change within the clock tick of the one before leaves the same time, so what changed just now
    has no stamps yet.
    """
    stamps = _stamps(scratch)
    youngest = max(stamp[-1] for stamp in stamps) / 1e9
    settled = now.timestamp() - youngest > _SETTLED_SECONDS
    return replace(scratch, stamps=stamps if settled else ())


def _has_stamps(scratch: Scratch) -> bool:
    """Say whether the folders are as they were: cheaper than to look into them."""
    try:
        return _stamps(scratch) == scratch.stamps
    except OSError:
        return False


def _stamps(scratch: Scratch) -> tuple[tuple[int, ...], ...]:
    """Return what identifies both folders, and when each was last changed, which nobody can set."""
    return tuple(
        (found.st_ino, found.st_mode, found.st_uid, found.st_ctime_ns)
        for found in map(os.lstat, (scratch.root, scratch.work))
    )


def _is_untouched(scratch: Scratch) -> bool:
    """Empty the folder of an output file; say whether nothing else was ever made of it."""
    try:
        for name in os.listdir(scratch.root):
            if name == "output":
                scratch.output.unlink()
            elif name != "work":
                return False
        status = scratch.work.lstat()
        return status.st_mode & 0o7777 == _MODE and not os.listdir(scratch.work)
    except OSError:
        return False


def delete(root: Path) -> None:
    """Delete a folder, also one whose parts a step has made unwritable."""
    shutil.rmtree(root, onerror=_insist)


def _insist(_function: object, path: str, _error: object) -> None:
    place = Path(path)
    try:
        place.parent.chmod(_MODE)
        if place.is_dir() and not place.is_symlink():
            place.chmod(_MODE)
            shutil.rmtree(place, ignore_errors=True)
        else:
            place.unlink(missing_ok=True)
    except OSError:
        pass  # the next boot tries again
