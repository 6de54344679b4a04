"""A world in a folder that is gone after the test."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenario.world import World

_MEMORY = "/dev/shm"


@pytest.fixture
def world() -> Iterator[World]:
    """A new world. Where there is a file system in memory its database lies there: each of its many
    commits waits for the disk otherwise."""
    where = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="headway-world-", dir=where) as folder:
        made = World(Path(folder))
        try:
            yield made
        finally:
            made.close()
