"""`headway init`."""

from __future__ import annotations

from pathlib import Path

from tests.unit.cli.conftest import Command


def test_it_writes_a_valid_pipeline_and_says_what_comes_next(
    headway: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "first"
    done = headway("init", str(folder))
    assert done.status == 0
    assert f"  cd {folder}\n" in done.out
    assert "  headway run pipeline.yaml --local " in done.out
    assert sorted(file.name for file in folder.iterdir()) == [
        "count.py",
        "greet.sh",
        "pipeline.yaml",
    ]
    assert headway("validate", str(folder / "pipeline.yaml")).status == 0


def test_it_replaces_nothing(headway: Command, tmp_path: Path) -> None:
    (tmp_path / "count.py").write_text("mine")
    done = headway("init", str(tmp_path), "--json")
    assert done.status == 4
    assert done.document["error"]["code"] == "exists"
    assert [file.name for file in tmp_path.iterdir()] == ["count.py"]
    assert (tmp_path / "count.py").read_text() == "mine"


def test_it_cannot_write(headway: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert headway("init", str(tmp_path / "file" / "below")).status == 2
