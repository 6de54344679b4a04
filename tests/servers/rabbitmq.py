"""RabbitMQ servers and virtual hosts for tests.

Each test gets a virtual host of its own. A private node has a supply of them from its start,
because making one takes `rabbitmqctl` a second; elsewhere the management API makes them.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.servers.processes import Child, Processes
from tests.servers.sources import (
    Server,
    docker_answers,
    free_port,
    missing,
    temporary_folder,
    unique_name,
)

HINT = "set TEST_RABBITMQ_URL, start Docker, or install rabbitmq-server"
_IMAGE = "rabbitmq:4-management"
# The wrapper on the PATH changes to a user of its own, which may not look into our folders.
_PROGRAMS = Path("/usr/lib/rabbitmq/bin")
_HOSTS = 4
_SPARE_HOSTS = 120  # more than the tests of one pytest process that ask for one
_CONFIGURATION = {
    "loopback_users": "none",
    "vm_memory_high_watermark.absolute": "512MB",
    "disk_free_limit.absolute": "50MB",
    "log.console": "true",
    "log.console.level": "error",
    "log.file": "false",
}


@dataclass(frozen=True, slots=True)
class Broker(Server):
    """A server whose `url` lacks the virtual host; `spare` ones are ready to be taken."""

    spare: list[str] = field(default_factory=list)
    management: str = ""

    def new_host(self) -> str:
        """Return the address of a virtual host that nobody has used."""
        if self.spare:
            return f"{self.url}/{self.spare.pop()}"
        assert self.management, "no spare virtual hosts and no TEST_RABBITMQ_MANAGEMENT_URL"
        name = unique_name("headway")
        parts = urlsplit(self.url)
        for path in (f"vhosts/{name}", f"permissions/{name}/{parts.username}"):
            _put(f"{self.management}/api/{path}", f"{parts.username}:{parts.password}")
        return f"{self.url}/{name}"


@contextmanager
def rabbitmq() -> Iterator[Broker]:
    """Give a server: TEST_RABBITMQ_URL (amqp://user:password@host:port, with its management API at
    TEST_RABBITMQ_MANAGEMENT_URL), Docker, else the installed package's programs."""
    given = os.environ.get("TEST_RABBITMQ_URL")
    if given:
        api = os.environ.get("TEST_RABBITMQ_MANAGEMENT_URL", "")
        yield Broker(given.rstrip("/"), "TEST_RABBITMQ_URL", management=api.rstrip("/"))
    elif docker_answers():
        with _in_docker() as server:
            yield server
    elif installed():
        with temporary_folder("rabbitmq") as folder:
            node = Node(folder, host_count=_SPARE_HOSTS)
            try:
                node.start()
                yield Broker(node.url, f"rabbitmq-server ({_PROGRAMS})", spare=node.hosts())
            finally:
                node.close()
    else:
        missing("RabbitMQ", HINT)


def installed() -> bool:
    """Say whether Debian's package is there, with the Erlang that it needs."""
    return (_PROGRAMS / "rabbitmq-server").exists() and shutil.which("epmd") is not None


@dataclass
class Node:
    """A private RabbitMQ node in `folder`: started, killed and started again on the same port."""

    folder: Path
    settings: Mapping[str, str] | None = None
    # What the configuration file cannot say, as arguments of the Erlang machine.
    arguments: str = ""
    host_count: int = _HOSTS

    def __post_init__(self) -> None:
        self._port, self._distribution, self._names = free_port(), free_port(), free_port()
        self._processes = Processes(self.folder / "logs")
        self._epmd: Child | None = None
        self._server: Child | None = None

    @property
    def url(self) -> str:
        """The address without a virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self._port}"

    def hosts(self) -> list[str]:
        """Return the names of its virtual hosts."""
        return [f"host{number}" for number in range(self.host_count)]

    def start(self) -> None:
        """Start the node, on the data it had, and wait until it takes connections."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        configuration = {
            "listeners.tcp.1": f"127.0.0.1:{self._port}",
            **_CONFIGURATION,
            **(self.settings or {}),
        }
        definitions = self.folder / "definitions.json"
        definitions.write_text(json.dumps(_definitions(self.hosts())))
        configuration["load_definitions"] = str(definitions)
        lines = [f"{name} = {value}\n" for name, value in configuration.items()]
        (self.folder / "rabbitmq.conf").write_text("".join(lines))
        (self.folder / "enabled_plugins").write_text("[].\n")
        self._start_epmd()
        self._server = self._processes.start(
            [str(_PROGRAMS / "rabbitmq-server")], name="rabbitmq", env=self._environment()
        )
        self._server.wait_for(self._answers, within=60, what="a RabbitMQ connection")

    def kill(self) -> None:
        """End the node at once, as a power cut would; its data stays."""
        if self._server is not None:
            self._server.kill()

    def stop(self) -> None:
        """End the node in good order."""
        if self._server is not None:
            self._server.stop(signal.SIGTERM)

    def wipe(self) -> None:
        """Delete the data of the stopped node."""
        shutil.rmtree(self.folder / "mnesia", ignore_errors=True)

    def close(self) -> None:
        self._processes.close()

    def _start_epmd(self) -> None:
        """Start the node's name service and wait for it: the node is forbidden to start one.

        What Erlang starts by itself is a daemon that outlives the node.
        """
        if self._epmd is None:
            argv = ["epmd", "-address", "127.0.0.1", "-port", str(self._names)]
            self._epmd = self._processes.start(argv, name="epmd")
        self._epmd.wait_for(lambda: _is_open(self._names), what="epmd")

    def _environment(self) -> dict[str, str]:
        folder = self.folder
        return {
            **os.environ,
            # The script then becomes the node; else the node would be the child of a shell, and
            # would not die with the tests.
            "RUNNING_UNDER_SYSTEMD": "true",
            # Every Erlang machine hears it, also the short-lived one by which the node, once a
            # minute, would start an epmd that is gone.
            "ERL_FLAGS": "-start_epmd false",
            "HOME": str(folder / "home"),
            "RABBITMQ_NODENAME": f"test{self._port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._names),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "ERL_CRASH_DUMP": str(folder / "erl_crash.dump"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"+S 2:2 +sbwt none {self.arguments}",
        }

    def _answers(self) -> bool:
        return answers(f"{self.url}/{self.hosts()[-1]}")


def _is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False


def _definitions(hosts: Sequence[str]) -> dict[str, Any]:
    user = {"name": "guest", "password": "guest", "tags": "administrator"}
    every = {"configure": ".*", "write": ".*", "read": ".*"}
    return {
        "users": [user],
        "vhosts": [{"name": name} for name in hosts],
        "permissions": [{"user": "guest", "vhost": name, **every} for name in hosts],
    }


def _put(url: str, login: str) -> None:
    body = json.dumps({"configure": ".*", "write": ".*", "read": ".*"}).encode()
    request = urllib.request.Request(url, data=body, method="PUT")
    request.add_header("Content-Type", "application/json")
    request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    urllib.request.urlopen(request, timeout=10).close()


def answers(url: str) -> bool:
    """Say whether a RabbitMQ takes connections at `url`."""
    import amqp
    from kombu import Connection

    try:
        with Connection(url, connect_timeout=2) as connection:
            connection.transport.establish_connection().close()
    except (OSError, amqp.exceptions.AMQPError):
        return False
    return True


@contextmanager
def _in_docker() -> Iterator[Broker]:
    from testcontainers.community.rabbitmq import RabbitMqContainer

    with RabbitMqContainer(_IMAGE).with_exposed_ports(15672) as container:
        host = container.get_container_host_ip()
        url = f"amqp://guest:guest@{host}:{container.get_exposed_port(5672)}"
        management = f"http://{host}:{container.get_exposed_port(15672)}"
        yield Broker(url, f"Docker ({_IMAGE})", management=management)
