"""Findings between the API and the command, and the small things that they are made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from headway.clock import ManualClock
from headway.findings import Status, fine, note, read, unknown, worst, wrong
from headway.folders import look_at
from headway.ids import made_at, new_id


def test_a_finding_survives_its_journey() -> None:
    for each in (
        fine("a.b", "well"),
        note("a.b", "so so", "mend it", subject="this one"),
        unknown("a.b", "dark", "light"),
        wrong("a.b", "broken", "mend it"),
    ):
        assert read(each.as_dict()) == each


def test_a_status_of_a_later_version_is_unknown() -> None:
    assert read({"check": "a", "status": "glorious", "message": "?"}).status is Status.UNKNOWN


@pytest.mark.parametrize("row", [{}, {"check": 3, "message": "x"}, {"check": "a", "message": None}])
def test_what_is_no_finding(row: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="a check and a message"):
        read(row)


def test_the_worst_of_several_and_of_none() -> None:
    good, hint = fine("a", "x"), note("b", "x", "y")
    dark, bad = unknown("c", "x", "y"), wrong("d", "x", "y")
    assert worst([good, hint]) is Status.NOTE
    assert worst([good, dark, hint]) is Status.UNKNOWN
    assert worst([bad, dark]) is Status.WRONG
    assert worst([good]) is Status.FINE
    assert worst([]) is Status.UNKNOWN


def test_an_id_tells_when_it_was_made() -> None:
    moment = datetime(2026, 3, 1, 6, 0, 0, 123_000, tzinfo=UTC)
    clock = ManualClock(moment)
    assert made_at(new_id(clock)) == moment
    clock.advance(timedelta(days=4000))
    assert made_at(new_id(clock)) == clock.now()


@pytest.mark.parametrize("text", ["", "host:12", "z" * 26, "u" * 26, "I" * 26, "0" * 27])
def test_other_texts_tell_no_time(text: str) -> None:
    assert made_at(text) is None


def test_the_disk_of_a_folder(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    inside = tmp_path / "a b" / "state"
    inside.mkdir(parents=True)
    lines = [
        ("/", "ext4"),
        (f"{tmp_path}/a\\040b", "nfs4"),
        (f"{tmp_path}/a\\040", "tmpfs"),  # begins alike, holds something else
    ]
    mounts.write_text("".join(f"1 0 0:1 / {place} rw - {kind} none rw\n" for place, kind in lines))
    folder = look_at(inside, mounts)
    assert folder.filesystem == "nfs4"
    assert folder.over_network
    assert not folder.in_memory
    assert folder.writable
    assert 0 <= folder.free_bytes <= folder.total_bytes
    assert look_at(tmp_path, mounts).filesystem == "ext4"
    assert look_at(tmp_path, tmp_path / "none").filesystem is None


def test_the_last_of_several_mounts_on_one_place_counts(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text("1 0 0:1 / / rw - ext4 none rw\n2 0 0:1 / / rw - overlay none rw\n")
    assert look_at(tmp_path, mounts).filesystem == "overlay"


def test_this_machine_says_what_its_disks_are() -> None:
    assert look_at(Path("/")).filesystem
    assert look_at(Path("/proc")).filesystem == "proc"
