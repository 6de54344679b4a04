"""docs/reference.md is what the schema says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headway.spec.descriptions import DESCRIPTIONS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reference.md").read_text()


def test_the_reference_is_what_the_schema_says() -> None:
    check = [sys.executable, str(ROOT / "scripts" / "reference.py"), "--check"]
    result = subprocess.run(check, capture_output=True, text=True, check=False)
    assert result.returncode == 0, "run scripts/reference.py\n" + result.stdout + result.stderr


@pytest.mark.parametrize("key", DESCRIPTIONS)
def test_every_key_is_in_it(key: str) -> None:
    name = key.partition(".")[2]
    assert f"`{name}`" in PAGE or f"{{{name}}}" in PAGE
