"""The reference says what the reader does: its example loads, its keys and codes are all there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import headway.expressions
import headway.spec
from headway.expressions.types import FUNCTIONS, METHODS
from headway.spec import load, schema
from headway.spec.joining import RULES

ROOT = Path(__file__).parents[3]
MAKERS = {"on", "at", "_fault", "_fail", "Fault", "Problem"}
TEXT = (ROOT / "docs/definitions.md").read_text(encoding="utf-8")


HEAD = """headway: 1
pipeline: p
team: t
owner: o
params: {parts: {type: list, default: []}}
steps:
  extract: {run: x, outputs: {parts: list}}
"""


def test_the_example_is_valid() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert load(example, "f").problems == ()


def test_examples_of_steps_are_valid() -> None:
    examples = re.findall(r"```yml\n(.*?)```", TEXT, re.DOTALL)
    assert examples
    for example in examples:
        assert load(HEAD + example, "f").problems == ()


def test_every_key_rule_and_function_is_documented() -> None:
    made = schema()
    step, param = (made["$defs"][name]["properties"] for name in ("step", "param"))
    words = {*made["properties"], *step, *param, *step["http"]["properties"], *RULES}
    words |= {*FUNCTIONS, *METHODS}
    assert {word for word in words if f"`{word}`" not in TEXT} == set()


def test_every_code_is_documented_and_no_other() -> None:
    table = TEXT.split("## Codes of problems")[1]
    documented = {
        word for row in re.findall(r"^\| (`.*?`) \|", table, re.M) for word in _words(row)
    }
    assert documented == _noted() - {"params"}


def _words(text: str) -> list[str]:
    return re.findall(r"`(\w+)`", text)


def _noted() -> set[str]:
    """Return the texts that stand as arguments where a problem is made and look like a code."""
    found = set()
    for module in (headway.spec, headway.expressions):
        for file in Path(module.__file__ or "").parent.glob("*.py"):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.Call) and _called(node.func) in MAKERS:
                    found |= {a.value for a in node.args if isinstance(a, ast.Constant)}
    return {text for text in found if isinstance(text, str) and re.fullmatch("[a-z0-9_]+", text)}


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
