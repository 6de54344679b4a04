"""What the pages for users show as ours is valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headway.spec import load

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = [
    found
    for page in ("coming-from.md", "writing-steps.md")
    for found in re.findall(r"```yaml\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)
]


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: text.split("\n")[1])
def test_each_pipeline_is_valid(text: str) -> None:
    assert load(text, "f").problems == ()


def test_there_are_some() -> None:
    assert len(EXAMPLES) == 4
