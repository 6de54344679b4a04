"""Fixtures: a cluster with PostgreSQL and a broker, nothing started yet; a site of workers."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.integration.brokers import FIXTURES, Broker
from tests.integration.cluster import Cluster
from tests.integration.worker_site import Events, Site
from tests.servers.processes import Processes
from tests.servers.proxy import FaultProxy
from tests.unit.worker.double import Double


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


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as made:
        yield made


@pytest.fixture
def events(broker: Broker, double: Double) -> Iterator[Events]:
    made = Events(broker.url, double)
    yield made
    made.close()


@pytest.fixture
def site(processes: Processes, broker: Broker, double: Double, tmp_path: Path) -> Iterator[Site]:
    made = Site(processes, broker.url, double, tmp_path)
    yield made
    processes.close()


@pytest.fixture
def mark() -> str:
    return str(10_000_000 + secrets.randbelow(10_000_000))
