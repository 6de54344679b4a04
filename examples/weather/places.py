"""Where a step finds what it was given, and where it leaves what it keeps."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path


def given(name: str, file: str) -> Path:
    """Return a file of the input called `name`."""
    return Path(os.environ["HEADWAY_INPUTS"], name, file)


def shipped(file: str) -> Path:
    """Return a file that lies beside this code."""
    return Path(os.environ["HEADWAY_CODE"], "data", file)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file, by the names in its first line."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def keep_rows(file: str, titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file where the step's `artifacts` are looked for."""
    path = Path(os.environ["HEADWAY_WORKDIR"], file)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(titles)
        writer.writerows(rows)
