"""Packages state their contract, modules are named after duties, entry points are known."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import distribution

import pytest

from tests.architecture.repository import ROOT, sources, tree

VAGUE = {"utils", "util", "helpers", "helper", "manager", "base", "misc", "common", "tools"}

# import-linter cannot see what is loaded by name, so it stands here.
ENTRY_POINTS = {
    ("console_scripts", "headway", "headway.cli.main:main"),
    ("headway.commands", "worker", "headway_worker.cli:register"),
    ("headway.commands", "flower", "headway_worker.cli:register"),
    ("headway.commands", "coordinator", "headway_coordinator.cli:register"),
    ("headway.commands", "up", "headway_coordinator.cli:register"),
    ("headway.commands", "db", "headway_coordinator.cli:register"),
    ("headway.commands", "bench", "headway_coordinator.cli:register"),
    ("headway.local", "coordinator", "headway_coordinator.local:make"),
    ("headway.local", "worker", "headway_worker.local:make"),
    ("headway.simulation", "coordinator", "headway_coordinator.simulation:simulate"),
    ("headway.doctor", "coordinator", "headway_coordinator.examination:examine_here"),
}

HEAVY = {"celery", "kombu", "sqlalchemy", "fastapi", "httpx2", "alembic", "pydantic_settings"}


def test_packages_say_what_they_are_for() -> None:
    packages = [each for each in sources() if each.name == "__init__.py"]
    silent = [str(each) for each in packages if not ast.get_docstring(tree(each))]
    assert not silent, "a package's docstring is its contract"


def test_folders_with_sources_are_packages() -> None:
    folders = {each.parent for each in sources() if each.parent.name != "versions"}
    # Alembic loads what is in `versions` by path.
    assert not [str(each) for each in folders if not (ROOT / each / "__init__.py").exists()]


def test_no_module_has_a_vague_name() -> None:
    assert not [str(each) for each in sources() if each.stem in VAGUE]


def test_entry_points_are_the_known_ones() -> None:
    found = {(each.group, each.name, each.value) for each in distribution("headway").entry_points}
    assert found == ENTRY_POINTS, "run `make setup` after changing them in pyproject.toml"


@pytest.mark.parametrize(("group", "name", "_value"), sorted(ENTRY_POINTS))
def test_an_entry_point_loads(group: str, name: str, _value: str) -> None:
    [entry] = distribution("headway").entry_points.select(group=group, name=name)
    assert callable(entry.load())


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from headway.cli.main import main\n"
        "sys.argv = ['headway', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        f"print('loaded:', *sorted({HEAVY!r} & set(sys.modules)))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "worker" in run.stdout
    assert run.stdout.splitlines()[-1].strip() == "loaded:"
