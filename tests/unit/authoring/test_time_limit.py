"""A module that does not end is ended, and told where it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from headway.clock import ManualClock
from headway.loading import bounded

_CHILD = """
import headway.loading.child as child, sys
child.SECONDS = 0.3
sys.exit(child.main(sys.argv[1], int(sys.argv[2])))
"""


def test_the_child_ends_itself_and_says_where(tmp_path: Path) -> None:
    file = tmp_path / "flow.py"
    file.write_text(
        "x = 1\nwhile True:\n    try:\n        sum(range(100_000))\n    except Exception: pass\n"
    )
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb") as answer:
        command = [sys.executable, "-c", _CHILD, str(file), str(theirs)]
        subprocess.run(command, pass_fds=(theirs,), check=True, timeout=60)
        os.close(theirs)
        [problem] = json.loads(answer.read())["problems"]
    assert problem["code"] == "took_too_long"
    assert 2 <= problem["line"] <= 5


def test_one_that_cannot_end_itself_is_killed(tmp_path: Path) -> None:
    class Late(ManualClock):
        def monotonic(self) -> float:
            self.calls = getattr(self, "calls", 0) + 1
            return 0.0 if self.calls == 1 else 1e6

    from datetime import UTC, datetime

    file = tmp_path / "flow.py"
    file.write_text("import signal\nsignal.pause()\n")
    ended = bounded.run(file, Late(datetime(2026, 1, 1, tzinfo=UTC)))
    assert ended.answer == b""
    assert ended.problem is not None
    assert "took more than" in ended.problem
