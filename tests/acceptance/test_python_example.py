"""The pipeline in Python of examples/rainfall runs on the whole stack; its figures are right."""

from __future__ import annotations

import csv
import os
import re
import signal
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import pytest

from headway_coordinator.embedded import HEADWAY
from tests.servers.processes import Processes
from tests.servers.sources import free_port

ROOT = Path(__file__).parents[2]
EXAMPLE = "examples/rainfall/rainfall.py"


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What `headway up --once` says of a run of the example."""
    folder = tmp_path_factory.mktemp("rainfall")
    plain = {k: v for k, v in os.environ.items() if not k.startswith("HEADWAY_")}
    listen = f"127.0.0.1:{free_port()}"
    with closing(Processes(folder / "logs")) as processes:
        child = processes.start(
            [*HEADWAY, "up", "--listen", listen, "--state-dir", str(folder), "--once", EXAMPLE],
            name="up",
            env={**plain, "NO_COLOR": "1"},
            cwd=ROOT,
            dies_by=signal.SIGTERM,
        )
        status = child.wait(within=110)
        assert status == 0, child.output()
        yield child.output()


def readings() -> dict[date, float]:
    file = ROOT / "examples" / "weather" / "data" / "seattle-weather.csv"
    with file.open(newline="") as stream:
        return {
            date.fromisoformat(row["date"].replace("/", "-")): float(row["precipitation"])
            for row in csv.DictReader(stream)
        }


def longest_dry_spell(rain: dict[date, float]) -> tuple[date, int]:
    """Count from each dry day on; another way than the example's."""
    best = (date.min, 0)
    for begins in rain:
        length = 0
        while rain.get(begins + timedelta(days=length)) == 0.0:
            length += 1
        best = max(best, (begins, length), key=lambda one: one[1])
    return best


def test_every_step_ends_as_told(output: str) -> None:
    for step in ("read_days", "by_month", "dry_spell", "report", "tell"):
        assert re.search(rf"{step}\s.*succeeded", output), output
    assert re.search(r"warn\s.*skipped", output), output


def test_the_figures_are_right(output: str) -> None:
    rain = readings()
    months: defaultdict[str, float] = defaultdict(float)
    for day, fell in rain.items():
        months[f"{day:%B}"] += fell
    begins, length = longest_dry_spell(rain)
    wet = sum(fell >= 1.0 for fell in rain.values())
    wettest = max(months, key=months.__getitem__)
    headline = (
        f"{round(sum(rain.values()), 1)} mm of rain on {wet} wet days, most in {wettest}; "
        f"no rain for {length} days from {begins}"
    )
    assert headline in output
