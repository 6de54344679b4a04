from __future__ import annotations

from pathlib import Path

import pytest

from headway.clock import SystemClock
from headway_worker.artifacts import ArtifactError, inside, matches
from headway_worker.regular import open_regular
from headway_worker.scratch import ScratchFolders


@pytest.fixture
def roots(tmp_path: Path) -> list[Path]:
    found = [tmp_path / "work", tmp_path / "code"]
    for root in found:
        (root / "out").mkdir(parents=True)
    return found


def test_a_pattern_is_looked_for_in_the_scratch_folder_first(roots: list[Path]) -> None:
    (roots[0] / "out" / "a.csv").write_text("work")
    (roots[1] / "out" / "a.csv").write_text("code")
    (roots[1] / "out" / "b.csv").write_text("code")
    (roots[1] / "c.txt").write_text("code")
    assert matches("out/*.csv", roots) == {"out/a.csv": roots[0] / "out" / "a.csv"}
    assert list(matches("c.txt", roots)) == ["c.txt"]


def test_a_plain_path_must_exist_and_a_pattern_may_match_nothing(roots: list[Path]) -> None:
    assert matches("out/*.csv", roots) == {}
    with pytest.raises(ArtifactError) as refused:
        matches("out/report.csv", roots)
    assert refused.value.code == "missing_artifact"


@pytest.mark.parametrize("pattern", ["/etc/passwd", "../secret", "out/../../secret"])
def test_no_pattern_leaves_the_folders(roots: list[Path], pattern: str) -> None:
    with pytest.raises(ArtifactError) as refused:
        matches(pattern, roots)
    assert refused.value.code == "bad_artifact"


def test_no_link_leaves_the_folders(roots: list[Path], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (roots[0] / "link").symlink_to(tmp_path / "secret")
    (roots[0] / "folder").symlink_to(tmp_path)
    for pattern in ("link", "l*", "folder/secret"):
        with pytest.raises(ArtifactError) as refused:
            matches(pattern, roots)
        assert refused.value.code == "bad_artifact"


def test_a_link_inside_is_refused_too(roots: list[Path]) -> None:
    (roots[0] / "real").mkdir()
    (roots[0] / "real" / "file").write_text("x")
    (roots[0] / "link").symlink_to(roots[0] / "real" / "file")
    (roots[0] / "folder").symlink_to(roots[0] / "real")
    for pattern in ("link", "folder/file"):
        with pytest.raises(ArtifactError, match="is a link") as refused:
            matches(pattern, roots)
        assert refused.value.code == "bad_artifact"
    assert matches("real/file", roots) == {"real/file": roots[0] / "real" / "file"}


def test_a_file_that_became_a_link_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "file").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        open_regular(tmp_path / "file", follow=False)


def test_roots_may_lie_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert matches("file", [tmp_path / "link"]) == {"file": tmp_path / "link" / "file"}


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "", "a\0b"])
def test_no_input_is_placed_outside_its_folder(tmp_path: Path, path: str) -> None:
    with pytest.raises(ArtifactError):
        inside(tmp_path, path)


def test_a_scratch_folder_is_empty_whatever_the_last_attempt_did(tmp_path: Path) -> None:
    folders = ScratchFolders(tmp_path / "scratch", SystemClock())
    folders.prepare()
    with folders.folder() as first:
        first.output.write_text("a=1")
    with folders.folder() as again:
        assert again == first, "one that was left empty is used again"
        assert not again.output.exists()
        (again.work / "deep" / "er").mkdir(parents=True)
        (again.work / "deep").chmod(0o500)
    assert not again.root.exists()
    with folders.folder() as other:
        assert list(other.work.iterdir()) == []
        other.work.chmod(0o777)
    with folders.folder() as last:
        assert last.work.stat().st_mode & 0o777 == 0o700


def test_what_an_earlier_boot_left_is_deleted(tmp_path: Path) -> None:
    folders = ScratchFolders(tmp_path / "scratch", SystemClock())
    folders.prepare()
    with folders.folder() as left:
        (left.work / "file").write_text("x")
        ScratchFolders(tmp_path / "scratch", SystemClock()).prepare()
        assert not left.root.exists()
