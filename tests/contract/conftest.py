"""The storage contract's two databases: a PostgreSQL server's and a SQLite file."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from headway_coordinator.application.ports import Storage
from headway_coordinator.storage.migrating import upgrade
from headway_coordinator.storage.opening import open_storage
from headway_coordinator.storage.schema import metadata
from tests.contract.deciders import Deciders, schedule_trigger
from tests.contract.lanes import Lane
from tests.contract.world import World
from tests.servers import postgres


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: str) -> Iterator[str]:
    """A database of this pytest process alone, at the newest revision."""
    url = postgres.create_database(postgres_server)
    upgrade(url)
    yield url
    postgres.drop_database(postgres_server, url)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def postgres_url(migrated_postgres: str) -> str:
    """The migrated database, emptied."""
    engine = create_engine(migrated_postgres)
    with engine.begin() as connection:  # of a few rows: cheaper than TRUNCATE, which makes files
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    engine.dispose()
    return migrated_postgres


@pytest.fixture
def sqlite_url(migrated_file: Path, tmp_path: Path) -> str:
    path = tmp_path / "headway.db"
    shutil.copy(migrated_file, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> str:
    """Each database in turn."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
def opened() -> Iterator[Callable[[str], Storage]]:
    """Opens storages and closes them after the test."""
    storages: list[Storage] = []

    def open_one(url: str) -> Storage:
        storages.append(open_storage(url, application_name="contract"))
        return storages[-1]

    yield open_one
    for storage in storages:
        storage.close()


@pytest.fixture
def world(url: str, opened: Callable[[str], Storage]) -> World:
    return World(opened(url))


@pytest.fixture
def postgres_world(postgres_url: str, opened: Callable[[str], Storage]) -> World:
    return World(opened(postgres_url))


@pytest.fixture
def deciders(world: World) -> Deciders:
    return Deciders(world)


@pytest.fixture
def lane(world: World) -> Lane:
    lane = Lane(world)
    lane.deciders.define(schedule_trigger(every=86400))
    return lane
