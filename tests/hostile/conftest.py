"""One house for all of a module's inputs: thousands of requests go to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.api.house import House


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    built = House(tmp_path_factory.mktemp("house"))
    yield built
    built.close()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[House]:
    """A house in which no other run waits."""
    built = House(tmp_path)
    yield built
    built.close()
