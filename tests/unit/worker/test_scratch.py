from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headway.clock import SystemClock
from headway_worker.scratch import Scratch, ScratchFolders


@pytest.fixture
def folders(tmp_path: Path) -> ScratchFolders:
    made = ScratchFolders(tmp_path / "scratch", SystemClock())
    made.prepare()
    return made


def settled(folders: ScratchFolders) -> Scratch:
    """Return a folder that is old enough to be known by its times alone."""
    deadline = time.monotonic() + 10
    while True:
        with folders.folder() as scratch:
            if scratch.stamps:
                return scratch
        assert time.monotonic() < deadline


def test_an_unused_folder_is_handed_out_again(folders: ScratchFolders) -> None:
    with folders.folder() as first:
        assert first.work.is_dir()
    with folders.folder() as second:
        assert second.root == first.root
    assert settled(folders).root == first.root


def _file(scratch: Scratch) -> None:
    (scratch.work / "left").write_text("x")


def _beside(scratch: Scratch) -> None:
    scratch.inputs.mkdir()


def _opened(scratch: Scratch) -> None:
    scratch.work.chmod(0o777)


def _gone(scratch: Scratch) -> None:
    scratch.work.rmdir()


def _another(scratch: Scratch) -> None:
    scratch.work.rmdir()
    scratch.work.mkdir(0o755)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("use", [_file, _beside, _opened, _gone, _another])
def test_a_used_folder_is_deleted(
    folders: ScratchFolders, use: Callable[[Scratch], None], old: bool
) -> None:
    if old:
        settled(folders)
    with folders.folder() as first:
        assert not old or first.stamps
        use(first)
    assert not first.root.exists()
    with folders.folder() as second:
        assert second.root != first.root


def test_an_output_file_is_taken_out_and_the_folder_kept(folders: ScratchFolders) -> None:
    settled(folders)
    with folders.folder() as first:
        first.output.write_text("a=1")
    with folders.folder() as second:
        assert second.root == first.root
        assert not second.output.exists()
