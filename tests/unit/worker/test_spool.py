from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headway.protocol.messages import Sealed
from headway_worker import spool as module
from headway_worker.spool import Entry, Spool

LIMIT = 1 << 20


def entry(attempt: str, body: str = "{}") -> Entry:
    return Entry(attempt, 1, Sealed(body=body, mac="0" * 64))


def attempts(spool: Spool) -> list[str]:
    return [each.attempt for each in spool.pending()]


def reopened(folder: Path) -> list[str]:
    spool = Spool(folder, limit_bytes=LIMIT)
    try:
        return attempts(spool)
    finally:
        spool.close()


def test_what_is_not_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit_bytes=LIMIT)
    assert spool.append(entry("a", '{"some": "body"}'))
    spool.append(entry("b"))
    spool.close()
    again = Spool(tmp_path, limit_bytes=LIMIT)
    assert again.pending() == [entry("a", '{"some": "body"}'), entry("b")]
    again.close()


def test_a_segment_is_deleted_once_all_of_it_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SEGMENT_BYTES", 1)
    spool = Spool(tmp_path, limit_bytes=LIMIT)
    for name in ("a", "b", "c"):
        spool.append(entry(name))
    assert len(list(tmp_path.glob("*.log"))) == 3
    spool.discard(["a", "b"])
    assert attempts(spool) == ["c"]
    spool.close()
    assert reopened(tmp_path) == ["c"]
    assert len(list(tmp_path.glob("*.log"))) == 1


def test_everything_acknowledged_leaves_nothing_to_send_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit_bytes=LIMIT)
    spool.append(entry("a"))
    spool.discard(["a"])
    spool.close()
    assert reopened(tmp_path) == []


def test_a_torn_last_line_is_skipped(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit_bytes=LIMIT)
    spool.append(entry("a"))
    spool.close()
    segment = next(tmp_path.glob("*.log"))
    segment.write_bytes(segment.read_bytes() + entry("b").line()[:-20])
    assert reopened(tmp_path) == ["a"]


def test_new_completions_never_overwrite_old_segments(tmp_path: Path) -> None:
    first = Spool(tmp_path, limit_bytes=LIMIT)
    first.append(entry("a"))
    first.close()
    second = Spool(tmp_path, limit_bytes=LIMIT)
    second.append(entry("b"))
    second.close()
    assert reopened(tmp_path) == ["a", "b"]


def test_over_four_fifths_of_its_limit_it_is_full_until_it_is_drained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SEGMENT_BYTES", 1)
    size = len(entry("a", "x" * 1000).line())
    spool = Spool(tmp_path, limit_bytes=size * 5)
    names = ["a", "b", "c", "d", "e"]
    for name in names[:4]:
        spool.append(entry(name, "x" * 1000))
        assert not spool.is_full()
    spool.append(entry("e", "x" * 1000))
    assert spool.is_full()
    spool.discard(["a", "b"])
    assert not spool.is_full()
    spool.close()


def test_one_file_that_is_over_the_limit_does_not_keep_it_full(tmp_path: Path) -> None:
    """The file that is written to stays although all of it is acknowledged: nobody may wait for the
    next completion, which nobody may begin."""
    large = entry("large", "x" * 1000)
    spool = Spool(tmp_path, limit_bytes=len(large.line()))
    spool.append(large)
    spool.append(entry("small"))
    assert spool.is_full()
    spool.discard(["large"])
    assert spool.is_full(), "something in the file waits"
    spool.discard(["small"])
    assert not spool.is_full()
    spool.close()


def test_a_disk_that_refuses_keeps_the_completion_in_memory_and_says_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, limit_bytes=LIMIT)
    spool.append(entry("a"))

    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", refuse)
        patched.setattr(os, "open", refuse)
        assert not spool.append(entry("b"))
        assert spool.is_full()
    assert attempts(spool) == ["a", "b"]
    assert spool.append(entry("c"))
    assert not spool.is_full()
    spool.close()
    assert {"a", "c"} <= set(reopened(tmp_path))


def test_a_disk_with_room_again_is_noticed_without_a_completion_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full worker claims nothing, so nothing would ever be written again."""
    spool = Spool(tmp_path, limit_bytes=LIMIT)

    def refuse(fd: int, _data: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", refuse)
        spool.append(entry("a"))
        assert not spool.wait_for_room(0)
    assert spool.wait_for_room(0)
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_behind_a_torn_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, limit_bytes=LIMIT)
    spool.append(entry("a"))
    write = os.write

    def half(fd: int, data: bytes) -> int:
        write(fd, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", half)
        spool.append(entry("b"))
    assert not spool.is_full()
    assert spool.append(entry("c"))
    spool.close()
    assert reopened(tmp_path) == ["a", "c"]


def test_many_threads_spool_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit_bytes=LIMIT)
    names = [f"a{number}" for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda name: spool.append(entry(name)), names))
    spool.close()
    assert sorted(reopened(tmp_path)) == sorted(names)
