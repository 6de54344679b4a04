"""What is committed is for Headway's users: nothing in it is about one machine or its network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT, text_of, tracked

# Written so that this file does not hold what it looks for.
PUBLISHED = Path("tests/material/hostile-inputs")  # by others, and kept as it is
FORBIDDEN = {
    "a folder of one machine": r"(?<![\w.$}/-])/(wor[k]|tm[p]|roo[t])/\w",
    "a package index": r"(?i)(pythonhosted|\bpyp[i]|registry\.npmj[s])\.org\b",
    "an index option": r"--(extra-)?index[-]url[=\s]+\w+:/[/]",
}


def test_no_forbidden_text() -> None:
    found = [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {what}: {match[0]}"
        for name in tracked()
        if not name.is_relative_to(PUBLISHED)
        if (text := text_of(name))
        for what, pattern in FORBIDDEN.items()
        for match in re.finditer(pattern, text)
    ]
    assert not found


@pytest.mark.parametrize(
    "text",
    ["cd /wo%rk/main", "see '/t%mp/x'", "https://py%pi.org/simple", "--ind%ex-url=https://x"],
)
def test_the_search_finds(text: str) -> None:
    assert any(re.search(pattern, text.replace("%", "")) for pattern in FORBIDDEN.values())


@pytest.mark.parametrize(
    "text", ["$HOME/" + "work/x", "a/tmp/b", "/tmp is cleaned", "../" + "work/x"]
)
def test_the_search_leaves_alone(text: str) -> None:
    assert not any(re.search(pattern, text) for pattern in FORBIDDEN.values())


def test_the_lock_names_hashes_and_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    packages = re.findall(r"^[a-z0-9][\w.-]*(?:\[[\w,-]+\])?==", lock, flags=re.MULTILINE)
    hashed = re.findall(r"^[a-z0-9].*\\\n    --hash=sha256:", lock, flags=re.MULTILINE)
    assert len(packages) == len(hashed) > 100
