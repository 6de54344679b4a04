"""The import contracts of pyproject.toml are kept, and they would notice if they were not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.repository import PACKAGES, ROOT

# One forbidden import a contract, as (contract, file that gets it, the import).
BREACHES = [
    ("The shared language", "headway/ids.py", "import headway_coordinator"),
    ("Coordinator and worker", "headway_coordinator/engine/rules.py", "import headway_worker"),
    (
        "Inside the coordinator",
        "headway_coordinator/application/ports.py",
        "import headway_coordinator.storage",
    ),
    ("Pure packages", "headway_coordinator/engine/states.py", "import time"),
]


def test_the_contracts_are_kept() -> None:
    linted = lint_imports(ROOT, os.environ.get("PYTHONPATH", ""))
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize(("contract", "file", "line"), BREACHES)
def test_a_breach_is_noticed(contract: str, file: str, line: str, tmp_path: Path) -> None:
    copy_packages(tmp_path)
    with (tmp_path / file).open("a") as source:
        source.write(f"\n{line}\n")
    linted = lint_imports(tmp_path, str(tmp_path))
    broken = [each for each in linted.stdout.splitlines() if " BROKEN" in each]
    assert linted.returncode == 1, linted.stdout + linted.stderr
    assert any(each.startswith(contract) for each in broken), linted.stdout


def copy_packages(target: Path) -> None:
    for name, folder in PACKAGES.items():
        shutil.copytree(folder, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", target)


def lint_imports(folder: Path, path: str) -> subprocess.CompletedProcess[str]:
    program = "from importlinter.cli import lint_imports_command as run; run()"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
