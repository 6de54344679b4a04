"""What interpreters of teams import is what authors import, in the syntax of Python 3.8."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

import headway_worker.runner
from headway import authoring

RUNNER = Path(headway_worker.runner.__file__).parent
STAND_IN = RUNNER / "stub" / "headway.py"


def test_it_has_every_name_that_authors_import() -> None:
    spec = importlib.util.spec_from_file_location("stand_in", STAND_IN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert {name for name in authoring.__all__ if not hasattr(module, name)} == set()


@pytest.mark.parametrize("file", [STAND_IN, RUNNER / "arguments.py", RUNNER / "child.py"])
def test_an_old_interpreter_reads_it(file: Path) -> None:
    ast.parse(file.read_text("utf-8"), feature_version=(3, 8))
