"""Every mistake is told with its place and its mend, all at once, within bounds of memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.acceptance.bad_definitions import ALL_AT_ONCE, FINE, HEAVY, MISTAKES, Bad

MEMORY_BYTES = 100 * 1024 * 1024
HANGS_S = 30  # no measure, only an end: a second is expected, on a machine that has time

# The peak is read by the process itself: what it inherits from its parent would count otherwise.
COMMAND = """
import resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[1]),) * 2)
from headway.cli.main import run
status = run(sys.argv[2:])
print(next(l.split()[1] for l in open("/proc/self/status") if l.startswith("VmHWM")))
sys.exit(status)
"""


class Done(NamedTuple):
    status: int
    out: str
    err: str
    peak_bytes: int


def validate(file: Path, *options: str) -> Done:
    arguments = [str(MEMORY_BYTES), "validate", str(file), *options]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=HANGS_S,
        check=False,
    )
    *lines, peak_kb = done.stdout.splitlines()
    return Done(done.returncode, "\n".join(lines), done.stderr, int(peak_kb) * 1024)


def problems(done: Done) -> list[dict[str, Any]]:
    document = json.loads(done.out)
    assert set(document) == {"valid", "pipelines", "problems"}
    assert document["valid"] == (not document["problems"])
    for problem in document["problems"]:
        assert set(problem) == {"file", "line", "column", "code", "message", "hint"}
        assert problem["hint"], problem
    return list(document["problems"])


def unmarked(marked: str) -> tuple[str, list[tuple[int, int]]]:
    """Return the text without its marks, and the line and column of each."""
    places = []
    for number, line in enumerate(marked.split("\n"), start=1):
        pieces = line.split("¶")
        columns = [sum(map(len, pieces[: n + 1])) + 1 for n in range(len(pieces) - 1)]
        places += [(number, column) for column in columns]
    return marked.replace("¶", ""), places


@pytest.mark.parametrize("bad", MISTAKES, ids=lambda bad: bad.kind)
def test_each_mistake_is_told_with_place_meaning_and_mend(bad: Bad, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    text, [(line, column)] = unmarked(bad.text)
    file.write_text(text)
    done = validate(file, "--json")
    assert done.status == 2
    found = [
        p for p in problems(done) if (p["line"], p["column"], p["code"]) == (line, column, bad.code)
    ]
    assert len(found) == 1, done.out
    assert bad.means in found[0]["message"]
    assert bad.mend in found[0]["hint"]
    expected = f"{file}:{line}:{column}: {found[0]['message']} ({found[0]['hint']})"
    assert expected in done.err.splitlines()


def test_many_mistakes_of_one_file_come_in_one_report(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    text, places = unmarked(ALL_AT_ONCE)
    file.write_text(text)
    done = validate(file, "--json")
    found = problems(done)
    assert {(p["line"], p["column"]) for p in found} == set(places)
    assert len(done.err.splitlines()) == len(found) == len(places)
    assert done.peak_bytes < MEMORY_BYTES


@pytest.mark.parametrize("name", HEAVY)
def test_what_is_meant_to_hurt_is_refused_within_bounds(name: str, tmp_path: Path) -> None:
    code, content = HEAVY[name]
    file = tmp_path / "heavy.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = validate(file, "--json")
    assert done.status == 2, done.err[-500:]
    found = problems(done)
    assert code in {p["code"] for p in found}
    assert len(found) <= 110
    assert done.peak_bytes < MEMORY_BYTES


@pytest.mark.parametrize("text", FINE, ids=["text that YAML 1.1 took for false", "50 aliases"])
def test_what_only_looks_like_a_mistake_is_valid(text: str, tmp_path: Path) -> None:
    file = tmp_path / "fine.yaml"
    file.write_text(text)
    assert validate(file).status == 0


def test_a_file_without_an_end_is_refused() -> None:
    done = validate(Path("/dev/zero"), "--json")
    assert [p["code"] for p in problems(done)] == ["too_large"]
