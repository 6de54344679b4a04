"""Every transcript, replayed. `UPDATE_TRANSCRIPTS=1` writes what the world answers into them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.scenario.transcript import replay
from tests.scenario.world import World

FOLDER = Path(__file__).parent / "transcripts"
FILES = sorted(FOLDER.glob("*.txt"))
# What is not so yet; the transcript says how it is to be.
NOT_YET = {
    "quarantine-lasts": "a run is loaded without its quarantine",
    "spool-replay": "a heartbeat acknowledges what an older boot finished and nobody recorded",
}


def _case(file: Path) -> Any:
    reason = NOT_YET.get(file.stem)
    marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
    return pytest.param(file, id=file.stem, marks=marks)


@pytest.mark.parametrize("file", [_case(file) for file in FILES])
def test_what_happens_is_what_is_written(file: Path, world: World) -> None:
    written = file.read_text(encoding="utf-8")
    happened = replay(written, world)
    if os.environ.get("UPDATE_TRANSCRIPTS") == "1" and file.stem not in NOT_YET:
        file.write_text(happened, encoding="utf-8")
        return
    assert happened == written


def test_every_transcript_is_found() -> None:
    assert len(FILES) >= 40
