"""The same events give the same decisions, whatever the interpreter's hash seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.property.walk import walk

ROOT = Path(__file__).parents[2]


def printed(hash_seed: int) -> str:
    """Return the walk of a fresh interpreter, which shuffles its sets by `hash_seed`."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.property.walk", "6"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


def test_a_walk_is_the_same_under_every_hash_seed() -> None:
    first, *others = (printed(seed) for seed in (0, 1, 2, 77))
    assert first.count("\n") > 500
    assert all(other == first for other in others)


def test_a_walk_goes_far() -> None:
    # Guards the test above: a walk that went nowhere would always agree.
    lines = "\n".join(line for seed in range(6) for line in walk(seed))
    for piece in (
        "→ retry_wait",
        "→ skipped",
        "→ upstream_failed",
        "→ cancelling",
        "decide ",
        "z1",
    ):
        assert piece in lines, piece
