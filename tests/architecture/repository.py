"""What the architecture tests look at: the repository's folders, files and sources."""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "headway": ROOT / "common" / "headway",
    "headway_coordinator": ROOT / "coordinator" / "headway_coordinator",
    "headway_worker": ROOT / "workers" / "headway_worker",
}


def sources() -> list[Path]:
    """Return every Python file of the three packages, relative to the root."""
    found = [path for folder in PACKAGES.values() for path in folder.rglob("*.py")]
    return sorted(path.relative_to(ROOT) for path in found)


def tree(source: Path) -> ast.Module:
    """Return the syntax tree of a source named relative to the root."""
    return ast.parse((ROOT / source).read_bytes(), filename=str(source))


@cache
def tracked() -> tuple[Path, ...]:
    """Return every file that git tracks or would add, relative to the root.

    A release archive is no git repository: there, every file that is not hidden.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        names = [Path(name) for name in listed.stdout.split("\0") if name]
    else:
        names = [path.relative_to(ROOT) for path in ROOT.rglob("[!.]*")]
    shown = [name for name in names if ".venv" not in name.parts]
    return tuple(sorted(name for name in shown if (ROOT / name).is_file()))


def text_of(name: Path) -> str | None:
    """Return a file's text, or None when it holds something else."""
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
