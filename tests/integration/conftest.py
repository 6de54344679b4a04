"""The cluster fixture: PostgreSQL and Redis, nothing started yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.integration.brokers import FIXTURES, Broker
from tests.integration.cluster import Cluster
from tests.servers.processes import Processes
from tests.servers.proxy import FaultProxy


@pytest.fixture(params=FIXTURES)
def broker(request: pytest.FixtureRequest) -> Broker:
    """An empty broker: the test runs on each kind of it."""
    return Broker(request.getfixturevalue(FIXTURES[request.param]))


@pytest.fixture
def proxy(broker: Broker) -> Iterator[FaultProxy]:
    parts = urlsplit(broker.url)
    made = FaultProxy(parts.hostname or "127.0.0.1", parts.port or 0)
    yield made
    made.close()


@pytest.fixture
def cluster(
    processes: Processes, postgres_database: str, broker: Broker, tmp_path: Path
) -> Iterator[Cluster]:
    """A cluster on an empty database; its processes are killed after the test."""
    made = Cluster(processes, postgres_database, broker.url, tmp_path)
    yield made
    made.close()
    processes.close()
