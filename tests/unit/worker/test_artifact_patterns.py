"""Which files an artifact pattern means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headway_worker.artifacts import ArtifactError, matches


def test_two_stars_at_the_end_mean_every_file_below(tmp_path: Path) -> None:
    (tmp_path / "o" / "p").mkdir(parents=True)
    (tmp_path / "o" / "y").touch()
    (tmp_path / "o" / "p" / "x").touch()
    assert sorted(matches("o/**", [tmp_path])) == ["o/p/x", "o/y"]


def test_a_file_that_is_named_like_a_pattern_is_found_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "r[1].txt").touch()
    assert list(matches("r[1].txt", [tmp_path])) == ["r[1].txt"]


def test_a_name_that_is_not_utf_8_is_refused_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.bin")).touch()
    with pytest.raises(ArtifactError, match="not UTF-8"):
        matches("*.bin", [tmp_path])
