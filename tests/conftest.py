"""Fixtures that every test may use: real servers, child processes; and the report of sources."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog

from tests.servers import alertmanager, postgres, rabbitmq, redis
from tests.servers.debian import Program, program
from tests.servers.processes import Processes
from tests.servers.sources import Server

# Examples differ from run to run at a desk; under CI a red build must be red again.
hypothesis.settings.register_profile("desk", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") == "true" else "desk")

_SOURCES = pytest.StashKey[dict[str, str]]()
_NEEDS = {
    "postgres_server": "postgres",
    "redis_server": "redis",
    "valkey_server": "redis",
    "rabbitmq_server": "rabbitmq",
}


@pytest.fixture(scope="session")
def redis_server(pytestconfig: pytest.Config) -> Iterator[str]:
    """The address of a Redis server without a database number, one a pytest process."""
    with redis.redis() as server:
        yield _noted(pytestconfig, "Redis", server)


@pytest.fixture(scope="session")
def valkey_server(pytestconfig: pytest.Config) -> Iterator[str]:
    """The address of a server of the bundled Valkey, one a pytest process."""
    with redis.valkey() as server:
        yield _noted(pytestconfig, "Valkey", server)


@pytest.fixture
def redis_database(redis_server: str, worker_id: str) -> Iterator[str]:
    """The address of an empty numbered database; pytest processes that share a server differ."""
    number = 1 + int(worker_id.removeprefix("gw")) % 15 if worker_id != "master" else 0
    url = f"{redis_server}/{number}"
    redis.empty(url)
    yield url
    redis.empty(url)


@pytest.fixture(scope="session")
def rabbitmq_server(pytestconfig: pytest.Config) -> Iterator[rabbitmq.Broker]:
    """A RabbitMQ server, one a pytest process."""
    with rabbitmq.rabbitmq() as server:
        _noted(pytestconfig, "RabbitMQ", server)
        yield server


@pytest.fixture
def rabbitmq_vhost(rabbitmq_server: rabbitmq.Broker) -> str:
    """The address of a virtual host of this test's own."""
    return rabbitmq_server.new_host()


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> Iterator[str]:
    """The administrator's address of a PostgreSQL server, one a pytest process."""
    with postgres.postgres() as server:
        yield _noted(pytestconfig, "PostgreSQL", server)


@pytest.fixture
def postgres_database(postgres_server: str) -> Iterator[str]:
    """The address of a new, empty database that is dropped after the test."""
    url = postgres.create_database(postgres_server)
    yield url
    postgres.drop_database(postgres_server, url)


@pytest.fixture(scope="session")
def alertmanager_program(pytestconfig: pytest.Config) -> Iterator[Program]:
    """The program of Prometheus' Alertmanager."""
    name = "prometheus-alertmanager"
    with program(name, name, data=alertmanager.TEMPLATES) as found:
        pytestconfig.stash[_SOURCES]["Alertmanager"] = found.source
        yield found


@pytest.fixture(scope="session")
def registry_program(pytestconfig: pytest.Config) -> Iterator[Program]:
    """The program of the registry of Docker images."""
    with program("docker-registry", "docker-registry") as found:
        pytestconfig.stash[_SOURCES]["The registry"] = found.source
        yield found


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts child processes; all they started is killed after the test."""
    owned = Processes(tmp_path / "logs")
    yield owned
    owned.close()


def pytest_configure(config: pytest.Config) -> None:
    # Threads that end late must not write into the captured output of another test.
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    config.stash[_SOURCES] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the servers that it asks for, so that `-m "not postgres"` is true."""
    for item in items:
        for name in getattr(item, "fixturenames", ()):
            if name in _NEEDS:
                item.add_marker(_NEEDS[name])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what this xdist worker used to the process that prints the report."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["servers"] = session.config.stash[_SOURCES]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what an xdist worker used (xdist's hook)."""
    used = getattr(node, "workeroutput", {}).get("servers", {})
    node.config.stash[_SOURCES].update(used)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for what, source in sorted(config.stash[_SOURCES].items()):
        terminalreporter.write_line(f"{what} for these tests: {source}")


def _noted(config: pytest.Config, what: str, server: Server) -> str:
    config.stash[_SOURCES][what] = server.source
    return server.url
