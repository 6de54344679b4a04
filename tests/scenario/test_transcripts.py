"""Every transcript, replayed. `UPDATE_TRANSCRIPTS=1` writes what the world answers into them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.scenario.transcript import replay
from tests.scenario.world import World

FOLDER = Path(__file__).parent / "transcripts"
FILES = sorted(FOLDER.glob("*.txt"))


# What is not so yet; the transcript says how it is to be.
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_happens_is_what_is_written(file: Path, world: World) -> None:
    written = file.read_text(encoding="utf-8")
    happened = replay(written, world)
    if os.environ.get("UPDATE_TRANSCRIPTS") == "1":
        file.write_text(happened, encoding="utf-8")
        return
    assert happened == written


def test_every_transcript_is_found() -> None:
    assert len(FILES) >= 40
