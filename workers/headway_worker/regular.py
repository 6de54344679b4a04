"""Opens files that a step has left, whatever it may have put in their place."""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path


def open_regular(path: Path, *, follow: bool = True) -> BufferedReader:
    """Open a file for reading; with `follow` false no link in its place.

    To open a pipe would wait for its other end for ever, and a device may have no end. Raises
    OSError: it cannot be opened, or is no regular file.
    """
    how = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, how if follow else how | os.O_NOFOLLOW)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    raise OSError(f"{path.name} is no regular file")
