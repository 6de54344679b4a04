"""Programs of Debian's packages: the installed one, else one that is unpacked for the tests.

Unpacking needs no root, installs no service, and leaves the machine as it is.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.sources import missing, temporary_folder

_DOWNLOAD_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Program:
    """A program that can be started in `folder`, and in a few words where it came from."""

    path: str
    folder: Path
    source: str


@contextmanager
def program(name: str, package: str, *, data: str | None = None) -> Iterator[Program]:
    """Give the program `name` of Debian's `package`, which reads the absolute folder `data`."""
    installed = shutil.which(name)
    if installed is not None:
        yield Program(installed, Path("/"), f"{name} ({installed})")
        return
    with temporary_folder("package") as folder:
        if not _unpacked(package, folder):
            missing(name, f"install {package}, or let apt-get download it")
        path = folder / "usr/bin" / name
        if data is not None:
            _look_here(path, data)
        yield Program(str(path), folder, f"{package}, unpacked")


def _unpacked(package: str, folder: Path) -> bool:
    """Say whether the package could be downloaded and unpacked into the folder."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return False
    try:
        _run("apt-get", "download", "-qq", package, folder=folder)
        [archive] = folder.glob("*.deb")
        _run("dpkg-deb", "-x", archive.name, ".", folder=folder)
    except (subprocess.SubprocessError, ValueError):
        return False
    return True


def _look_here(path: Path, data: str) -> None:
    """Make the unpacked program look for `data` below the folder in which it is started.

    The place is written in the program and no option changes it, so the text is replaced by a
    relative one of the same length.
    """
    here = data.removeprefix("/").replace("/", "//", 1)
    path.write_bytes(path.read_bytes().replace(data.encode(), here.encode()))


def _run(*argv: str, folder: Path) -> None:
    subprocess.run(argv, cwd=folder, check=True, capture_output=True, timeout=_DOWNLOAD_SECONDS)
