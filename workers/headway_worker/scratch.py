"""Each attempt's own folder, fresh at its start and gone after its end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Scratch:
    """`work` is `$HEADWAY_WORKDIR`; output and inputs lie beside it, so that no pattern meets them."""

    work: Path
    output: Path
    inputs: Path


@contextmanager
def scratch(base: Path, attempt: str) -> Iterator[Scratch]:
    """Give an attempt's folder; whatever is left in it is deleted."""
    root = base / attempt
    if root.exists():
        delete(root)
    work = root / "work"
    work.mkdir(mode=0o700, parents=True)
    try:
        yield Scratch(work, root / "output", root / "inputs")
    finally:
        delete(root)


def delete(root: Path) -> None:
    """Delete a folder, also one whose parts a step has made unwritable."""
    shutil.rmtree(root, onerror=_insist)


def _insist(_function: object, path: str, _error: object) -> None:
    place = Path(path)
    try:
        place.parent.chmod(0o700)
        if place.is_dir() and not place.is_symlink():
            place.chmod(0o700)
            shutil.rmtree(place, ignore_errors=True)
        else:
            place.unlink(missing_ok=True)
    except OSError:
        pass  # the next boot tries again
