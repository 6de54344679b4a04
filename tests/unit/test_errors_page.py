"""docs/errors.md: each code of a definition's problem has an example that provokes it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from headway.spec import load_all
from tests.unit.spec.test_documentation import _noted

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
HEAD = "headway: 1\npipeline: example\nteam: analytics\nowner: me@example.com\n"
# What takes a file of a megabyte, a whole folder, or another encoding to provoke.
WITHOUT = {
    *("not_utf8", "too_large", "too_deep", "too_many_aliases", "too_many_problems"),
    *("several_documents", "duplicate_pipeline"),
}
# Of the project's own tools, and of defects, which all say `internal_error` outside.
INWARD = {"bench_failed", "bench_timeout", "canvas_stuck"}
FAMILIES = {
    *("DefinitionError", "ConflictError", "ForbiddenError", "UnavailableError", "HeadwayError"),
    *("OutputError", "ArtifactError", "Failed", "_failed", "StepError", "Blocker"),
}
PARAMS = {"unknown_param", "missing_param", "params"}
_PARTS = PAGE.split("## Definitions")[1].split("## Params of a run")[0].split("\n### ")[1:]
SECTIONS = {part.partition("`\n")[0].strip("`"): part for part in _PARTS}
BLOCK = re.compile(r"```yaml( whole)?\n(.*?)```", re.DOTALL)


def test_every_code_of_a_problem_has_a_section() -> None:
    assert set(SECTIONS) == _noted() - PARAMS
    assert {code for code, part in SECTIONS.items() if not BLOCK.search(part)} == WITHOUT


@pytest.mark.parametrize("code", sorted(set(SECTIONS) - WITHOUT))
def test_the_example_gives_that_code_and_no_other(code: str) -> None:
    found = BLOCK.search(SECTIONS[code])
    assert found is not None
    text = found[2] if found[1] else HEAD + found[2]
    problems = [problem for one in load_all(text.encode(), "f") for problem in one.problems]
    assert {problem.code for problem in problems} == {code}, problems
    assert all(problem.hint for problem in problems)


def codes_in(tree: ast.AST) -> Iterator[str]:
    """Yield what stands as a code where an error, a failure or a blocker is made."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        made = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        made = node.func.id if isinstance(node.func, ast.Name) else made
        first = node.args[:1] if made in FAMILIES - {"DefinitionError"} else []
        named = [k.value for k in node.keywords if k.arg == "code"] if made in FAMILIES else []
        for value in (*first, *named):
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value.value


def test_every_other_code_is_on_the_page() -> None:
    sources = [
        p for part in ("common", "coordinator", "workers") for p in (ROOT / part).rglob("*.py")
    ]
    found = {code for path in sources for code in codes_in(ast.parse(path.read_text("utf-8")))}
    assert len(found) > 70
    assert {code for code in found - INWARD if f"`{code}`" not in PAGE} == set()
