"""The cluster fixture: PostgreSQL and Redis, nothing started yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import Cluster
from tests.servers.processes import Processes


@pytest.fixture
def cluster(
    processes: Processes, postgres_database: str, redis_database: str, tmp_path: Path
) -> Iterator[Cluster]:
    """A cluster on an empty database; its processes are killed after the test."""
    made = Cluster(processes, postgres_database, redis_database, tmp_path)
    yield made
    made.close()
    processes.close()
