"""docs/coming-from.md: what it shows as ours is valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headway.spec import load

PAGE = (Path(__file__).parents[2] / "docs" / "coming-from.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: text.split("\n")[1])
def test_each_pipeline_is_valid(text: str) -> None:
    assert load(text, "f").problems == ()


def test_there_are_some() -> None:
    assert len(EXAMPLES) == 3
