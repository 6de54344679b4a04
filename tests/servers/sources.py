"""Where a server for tests may come from, and what happens when it can come from nowhere."""

from __future__ import annotations

import contextlib
import gc
import os
import secrets
import shutil
import socket
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

_PORTS = range(20_000, 32_000)


@dataclass(frozen=True, slots=True)
class Server:
    """A reachable server: its address, and in a few words where it came from."""

    url: str
    source: str


@cache
def docker_answers() -> bool:
    """Say whether a Docker engine may be used: one answers, and NO_DOCKER is unset."""
    if os.environ.get("NO_DOCKER"):
        return False
    with warnings.catch_warnings():
        # The client forgets to close its socket when nobody answers; collected here, the warning
        # is nobody else's failure.
        warnings.simplefilter("ignore", ResourceWarning)
        answered = _ping_docker()
        gc.collect()
    return answered


def _ping_docker() -> bool:
    # Imported here: half a second that runs without servers need not pay.
    import docker
    from docker.errors import DockerException

    try:
        with contextlib.closing(docker.from_env(timeout=2)) as client:
            return bool(client.ping())
    except (DockerException, OSError):
        return False


def missing(what: str, hint: str) -> NoReturn:
    """End the test: a failure under CI=true, where nothing may be skipped, else a skip."""
    message = f"no {what} found: {hint}"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def free_port() -> int:
    """Return a loopback TCP port that was free a moment ago.

    It lies below those that systems give to outgoing connections: of these one would be taken by
    anybody before the server that it is for has started.
    """
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def unique_name(prefix: str) -> str:
    """Return a name that no other test run shares, so that runs can share one server."""
    return f"{prefix}_{secrets.token_hex(6)}"


@contextlib.contextmanager
def temporary_folder(prefix: str, owner: str | None = None) -> Iterator[Path]:
    """Give a new folder, belonging to the user `owner`, that is removed in the end.

    Not pytest's `tmp_path`: its parents are closed to other users, and a server that must not run
    as root is one.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"headway-{prefix}-"))
    try:
        if owner is not None:
            shutil.chown(folder, owner)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
