"""What kind of disk a folder lies on, and how much room is left there."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

_MEMORY = frozenset({"tmpfs", "ramfs"})
_NETWORK = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "lustre", "afs", "9p", "virtiofs")
)
_MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True, slots=True)
class Folder:
    """`filesystem` is None where this machine does not say."""

    path: Path
    filesystem: str | None
    free_bytes: int
    total_bytes: int
    writable: bool

    @property
    def in_memory(self) -> bool:
        return self.filesystem in _MEMORY

    @property
    def over_network(self) -> bool:
        name = self.filesystem or ""
        return name in _NETWORK or name.startswith("fuse.")


def look_at(path: Path, mounts: Path = _MOUNTS) -> Folder:
    """Return what there is to know of an existing folder. Raises OSError."""
    path = path.resolve()
    usage = shutil.disk_usage(path)
    writable = os.access(path, os.W_OK | os.X_OK)
    return Folder(path, _filesystem(path, mounts), usage.free, usage.total, writable)


def _filesystem(path: Path, mounts: Path) -> str | None:
    """Return the type of the mount that holds `path`: the one with the longest place, the last of
    those that were put over each other."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    best: tuple[int, str] | None = None
    for line in lines:
        before, _, after = line.partition(" - ")
        place = Path(before.split(" ")[4].replace("\\040", " "))
        if path.is_relative_to(place) and (best is None or len(place.parts) >= best[0]):
            best = len(place.parts), after.split(" ")[0]
    return best[1] if best else None
