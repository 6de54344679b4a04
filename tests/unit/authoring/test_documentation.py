"""The page about Python says what the front end does: its example, its codes, its names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import headway.authoring
import headway.loading
from headway.authoring.steps import StepKeys
from headway.loading import read_python

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/python-pipelines.md").read_text("utf-8")
CODES = PAGE.split("## Codes of problems")[1]
OF_DEFINITIONS = (ROOT / "docs/definitions.md").read_text("utf-8")


def test_the_example_is_valid(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    example = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
    (tmp_path / "daily_sales.py").write_text(example)
    [loaded], text = read_python(tmp_path / "daily_sales.py")
    assert loaded.problems == ()
    assert loaded.spec is not None
    assert loaded.spec.pipeline == "daily-sales"
    assert 'if: "steps.load.outputs.rows > 0"' in text
    assert capfd.readouterr() == ("", "")


def test_every_code_is_documented() -> None:
    codes = noted()
    assert {"not_supported", "python_error", "unmappable_type"} <= codes
    both = CODES + OF_DEFINITIONS
    assert {code for code in codes if f"`{code}`" not in both} == set()


def test_every_documented_code_is_used() -> None:
    assert set(re.findall(r"`([a-z_]+)`", CODES.split("|---|---|")[1])) <= noted()


def test_every_name_and_key_is_documented() -> None:
    names = {*headway.authoring.__all__} - {"AuthoringError", "Expression", "Handle"}
    names -= {"Pipeline", "StepFunction"}
    words = {*names, *StepKeys.__annotations__}
    assert {word for word in words if not re.search(rf"\b{word}\b", PAGE)} == set()


def noted() -> set[str]:
    """Return the texts that stand as arguments where a problem is made and look like a code."""
    found = set()
    makers = {"AuthoringError", "Problem", "_note", "_refused"}
    for package in (headway.authoring, headway.loading):
        for file in Path(package.__file__ or "").parent.glob("*.py"):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.Call) and _called(node.func) in makers:
                    found |= {a.value for a in node.args if isinstance(a, ast.Constant)}
                elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
                    found |= {a.value for a in node.value.elts if isinstance(a, ast.Constant)}
    return {text for text in found if isinstance(text, str) and re.fullmatch("[a-z_]+", text)}


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
