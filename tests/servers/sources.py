"""Where a server for tests may come from, and what happens when it can come from nowhere."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest


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
    # Imported here: half a second that runs without servers need not pay.
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=2)
    except DockerException:
        return False
    try:
        return bool(client.ping())
    except (DockerException, OSError):
        return False
    finally:
        client.close()


def missing(what: str, hint: str) -> NoReturn:
    """End the test: a failure under CI=true, where nothing may be skipped, else a skip."""
    message = f"no {what} found: {hint}"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def free_port() -> int:
    """Return a loopback TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def unique_name(prefix: str) -> str:
    """Return a name that no other test run shares, so that runs can share one server."""
    return f"{prefix}_{secrets.token_hex(6)}"


@contextmanager
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
