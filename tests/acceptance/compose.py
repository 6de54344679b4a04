"""docker-compose.yml as Compose reads it, and its services as plain processes of this machine.

There need be no Docker engine: each container's address becomes a free port on loopback, each of
its folders one below a temporary root, and the database and the broker are the test's own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

from headway_coordinator.embedded import HEADWAY
from tests.servers.processes import Child, Processes
from tests.servers.sources import free_port
from tests.servers.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"
IMAGE = "headway:local"

_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?::([-?])([^}]*))?\})")
_DURATION = re.compile(r"(?:(\d+)m)?(?:(\d+)s)?")
_ADDRESS = re.compile(r"(?<![\w.-])([a-z0-9][a-z0-9.-]*):(\d{2,5})(?!\w)")
_FOLDER = re.compile(r"(?<![\w.])/(?:run/headway|var/lib/headway|srv/code)\b")


class MissingVariableError(Exception):
    """A variable without which Compose starts nothing; its text is what Compose would say."""


def read(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the file with anchors, merges and variables resolved. Raises MissingVariableError."""
    document = _interpolated(yaml.safe_load(FILE.read_text()), variables)
    assert isinstance(document, dict)
    return document


def _interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _interpolated(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [_interpolated(each, variables) for each in value]
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: _value(match, variables), value)
    return value


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    dollar, name, kind, rest = match.groups()
    if dollar:
        return "$"
    if found := variables.get(name):
        return found
    if kind == "?":
        raise MissingVariableError(f"{name}: {rest}")
    return rest or ""


def seconds(duration: str) -> int:
    """Return what `1m30s` means."""
    match = _DURATION.fullmatch(duration)
    assert match, duration
    return 60 * int(match[1] or 0) + int(match[2] or 0)


def in_order(services: Mapping[str, Any]) -> list[str]:
    """Return the names, each after those that it depends on."""
    graph = {name: set(each.get("depends_on", {})) for name, each in services.items()}
    return list(TopologicalSorter(graph).static_order())


@dataclass
class Plain:
    """Services of ours as processes. `servers` says where the servers of others are instead."""

    services: Mapping[str, Any]
    processes: Processes
    folder: Path
    servers: Mapping[str, str]
    children: dict[str, Child] = field(default_factory=dict)
    _ports: dict[tuple[str, str], int] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Start the service once what it depends on is as its conditions say."""
        for other, wanted in self.services[name].get("depends_on", {}).items():
            if other not in self.servers:
                self._wait(other, wanted["condition"])
        self.children[name] = self.launch(name)

    def launch(self, name: str, *arguments: str) -> Child:
        """Start the service's process, with other arguments where some are given."""
        self._mount(name)
        service = self.services[name]
        assert "entrypoint" not in service
        given = arguments or [self.here(name, each) for each in service["command"]]
        return self.processes.start(
            [*HEADWAY, *given],
            name=name,
            env=self._environment(name),
            cwd=self._root(name) / "srv/code",
        )

    def wait_healthy(self, name: str) -> None:
        """Wait until the service's health check passes."""
        check = self.services[name]["healthcheck"]["test"]
        assert check[0] == "CMD"
        argv = [sys.executable if each == "python" else self.here(name, each) for each in check[1:]]

        def healthy() -> bool:
            return subprocess.run(argv, capture_output=True, check=False).returncode == 0

        self.children[name].wait_for(healthy, within=60, what=f"the health of {name}")

    def stop(self, name: str) -> int:
        """Return the exit status after SIGTERM; it comes within the file's grace."""
        grace = seconds(self.services[name].get("stop_grace_period", "10s"))
        return self.children[name].stop(within=grace)

    def address(self, name: str, port: int | str) -> str:
        """Return where the port of a service's container is here."""
        key = (name, str(port))
        if key not in self._ports:
            self._ports[key] = free_port()
        return f"127.0.0.1:{self._ports[key]}"

    def here(self, name: str, text: str) -> str:
        """Return a text of the service with addresses and folders as they are on this machine."""
        text = _ADDRESS.sub(lambda match: self._address_here(name, match), text)
        return _FOLDER.sub(lambda match: f"{self._root(name)}{match[0]}", text)

    def _address_here(self, name: str, match: re.Match[str]) -> str:
        host, port = match.groups()
        if host in ("0.0.0.0", "127.0.0.1"):
            return self.address(name, port)
        return self.address(host, port) if host in self.services else match[0]

    def _wait(self, name: str, condition: str) -> None:
        match condition:
            case "service_completed_successfully":
                child = self.children[name]
                assert child.wait() == 0, child.output()
            case "service_healthy":
                self.wait_healthy(name)
            case _:
                raise AssertionError(f"{name}: {condition}")

    def _environment(self, name: str) -> dict[str, str]:
        """Return the service's own variables over what any process of the machine has."""
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("HEADWAY_", "FLOWER_"))}
        own = self.services[name].get("environment", {})
        return {**plain, **{key: self._variable(name, each) for key, each in own.items()}}

    def _variable(self, name: str, value: str) -> str:
        for host, url in self.servers.items():
            if f"@{host}:" in value:
                return url
        return self.here(name, value)

    def _root(self, name: str) -> Path:
        return self.folder / "roots" / name

    def _mount(self, name: str) -> None:
        """Make the container's folders: volumes that services share, and folders of the project."""
        (self._root(name) / "srv/code").mkdir(parents=True, exist_ok=True)
        for source, target in mounts(self.services[name]):
            place = self._root(name) / target.lstrip("/")
            held = ROOT / source if source.startswith(".") else self.folder / "volumes" / source
            held.mkdir(parents=True, exist_ok=True)
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.is_symlink():
                place.symlink_to(held)


def mounts(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield source and target of each volume."""
    for text in service.get("volumes", ()):
        source, target, *_ = text.split(":")
        yield source, target


def ours(services: Mapping[str, Any]) -> list[str]:
    """Return the services that run Headway's image and start by themselves, in order."""
    return [
        name
        for name in in_order(services)
        if services[name]["image"] == IMAGE and not services[name].get("profiles")
    ]


def wait_output(child: Child) -> str:
    """Return what a command printed, once it has ended well."""
    wait_until(lambda: not child.running, within=90, what=f"the end of {child.log.stem}")
    assert child.exit_status == 0, child.output()
    return child.output()
