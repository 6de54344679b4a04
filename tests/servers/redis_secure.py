"""Redis as it stands in production: with TLS alone and users, or a pair that a Sentinel watches."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import redis as client
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.servers.processes import Child, Processes
from tests.servers.redis import HINT
from tests.servers.sources import free_port, missing, temporary_folder
from tests.servers.waiting import wait_until

PASSWORD = "only: these/tests know; it"
QUOTED = "only%3A%20these%2Ftests%20know%3B%20it"
_MASTER = "headway"


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA, and the certificate of a server on loopback that it has signed."""

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> Authority:
        folder.mkdir()
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        ca, server = folder / "ca", folder / "server"
        _openssl("req", "-x509", *key, "-subj", "/CN=CA of a test", *_out(ca))
        names = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"]
        signed = ["-CA", f"{ca}.pem", "-CAkey", f"{ca}.key"]
        _openssl("req", "-x509", *key, "-subj", "/CN=server", *names, *signed, *_out(server))
        return cls(folder)

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def options(self) -> dict[str, str]:
        return {
            "tls-cert-file": str(self.folder / "server.pem"),
            "tls-key-file": str(self.folder / "server.key"),
            "tls-ca-cert-file": str(self.ca),
            "tls-auth-clients": "no",
        }


def _out(path: Path) -> list[str]:
    return ["-keyout", f"{path}.key", "-out", f"{path}.pem"]


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@dataclass
class Guarded:
    """A server that speaks TLS alone; whoever has no user gets nothing."""

    port: int
    authority: Authority

    def url(self, user: str, *, query: str | None = None) -> str:
        query = f"?ssl_ca_certs={self.authority.ca}" if query is None else query
        return f"rediss://{user}:{QUOTED}@127.0.0.1:{self.port}/0{query}"

    def connect(self, user: str) -> Any:
        """Return a client of the server's own kind, for what kombu would not ask."""
        return _client(self.port, self.authority, username=user)


@contextmanager
def guarded(processes: Processes, users: Mapping[str, Sequence[str]]) -> Iterator[Guarded]:
    """Give a server with these users; their rules are those of ACL SETUSER."""
    with temporary_folder("redis") as folder:
        authority, port = Authority.made(folder / "tls"), free_port()
        rules = {"default": ["off"], "root": ["~*", "&*", "+@all"], **users}
        lines = [
            f"user {name} {' '.join(rule)}"
            if name == "default"
            else f"user {name} on #{_digest(PASSWORD)} {' '.join(rule)}"
            for name, rule in rules.items()
        ]
        (folder / "users.acl").write_text("".join(f"{line}\n" for line in lines))
        settings = {**_listening(port, authority), "aclfile": str(folder / "users.acl")}
        server = Guarded(port, authority)
        child = _start(processes, folder, settings)
        try:
            child.wait_for(lambda: _answers(server.connect("root")), what="an answer to PING")
            yield server
        finally:
            child.kill()


@dataclass
class Watched:
    """A master and its replica, under the eyes of a Sentinel; all of them ask for a password."""

    sentinel: int
    master: Child
    replica_port: int
    gone: int
    authority: Authority | None

    @property
    def url(self) -> str:
        """Name two Sentinels, of which the first is gone."""
        hosts = f"127.0.0.1:{self.gone},127.0.0.1:{self.sentinel}"
        tls = f"&ssl_ca_certs={self.authority.ca}" if self.authority else ""
        query = f"master_name={_MASTER}&sentinel_password={QUOTED}{tls}"
        return f"sentinel://:{QUOTED}@{hosts}/0?{query}"

    def kill_master(self) -> None:
        self.master.kill()

    def push(self, queue: str, *elements: str) -> None:
        """Push to the list of a queue at the replica, once it has been promoted."""
        with _client(self.replica_port, self.authority) as connection:
            connection.lpush(queue, *(each.encode("latin-1") for each in elements))

    def wait_promoted(self) -> None:
        """Wait until the Sentinel has made the replica the master."""
        wait_until(
            lambda: _info(self.replica_port, self.authority, "role") == "master",
            what="the promotion",
        )


@contextmanager
def watched(processes: Processes, *, tls: bool) -> Iterator[Watched]:
    """Give a pair of servers; the Sentinel takes the master for dead after a second."""
    with temporary_folder("redis") as folder, ExitStack() as ended:
        authority = Authority.made(folder / "tls") if tls else None
        first, second, sentinel, gone = (free_port() for _ in range(4))
        sign_in = {"requirepass": PASSWORD, "masterauth": PASSWORD}
        replica_of = {"replicaof": f"127.0.0.1 {first}"}
        fast = {"repl-diskless-sync-delay": "0", "repl-timeout": "5"}
        children = {}
        pair: list[tuple[int, dict[str, str]]] = [(first, {}), (second, replica_of)]
        for port, more in pair:
            home = folder / str(port)
            home.mkdir()
            settings = {**_listening(port, authority), **sign_in, **fast, **more}
            children[port] = _start(processes, home, settings)
            ended.callback(children[port].kill)
            children[port].wait_for(partial(_info, port, authority, "role"), what="an answer")
        wait_until(
            lambda: _info(second, authority, "master_link_status") == "up",
            what="a replica in step",
        )
        home = folder / "sentinel"
        home.mkdir()
        watch = f"sentinel monitor {_MASTER} 127.0.0.1 {first} 1"
        auth = f'sentinel auth-pass {_MASTER} "{PASSWORD}"'
        times = [f"sentinel down-after-milliseconds {_MASTER} 1000"]
        times.append(f"sentinel failover-timeout {_MASTER} 5000")
        settings = {**_listening(sentinel, authority), "requirepass": PASSWORD}
        watcher = _start(processes, home, settings, [watch, auth, *times], sentinel=True)
        ended.callback(watcher.kill)
        watcher.wait_for(
            lambda: _sees_replica(sentinel, authority), what="a Sentinel that sees both"
        )
        yield Watched(sentinel, children[first], second, gone, authority)


def _start(
    processes: Processes,
    folder: Path,
    settings: Mapping[str, str],
    lines: Sequence[str] = (),
    *,
    sentinel: bool = False,
) -> Child:
    binary = shutil.which("redis-server")
    if binary is None:
        missing("Redis", HINT)
    plain = {"bind": "127.0.0.1", "dir": str(folder), **settings}
    if not sentinel:
        plain |= {"save": "", "appendonly": "no", "maxmemory-policy": "noeviction"}
    written = [f"{name} {_quoted(name, value)}" for name, value in plain.items()]
    file = folder / "redis.conf"
    file.write_text("".join(f"{line}\n" for line in (*written, *lines)))
    mode = ["--sentinel"] if sentinel else []
    return processes.start([binary, str(file), *mode], name="redis", cwd=folder)


def _quoted(name: str, value: str) -> str:
    return value if name == "replicaof" else f'"{value}"'


def _digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def _listening(port: int, authority: Authority | None) -> dict[str, str]:
    if authority is None:
        return {"port": str(port)}
    return {"port": "0", "tls-port": str(port), "tls-replication": "yes", **authority.options()}


def _client(port: int, authority: Authority | None, **more: Any) -> Any:
    """Return a client that tries once: whoever waits asks again."""
    if authority is not None:
        more |= {"ssl": True, "ssl_ca_certs": str(authority.ca)}
    once = Retry(NoBackoff(), 0)
    return client.Redis(host="127.0.0.1", port=port, password=PASSWORD, retry=once, **more)


def _answers(connection: Any) -> bool:
    with connection:
        try:
            return bool(connection.ping())
        except client.ConnectionError:
            return False


def _info(port: int, authority: Authority | None, name: str) -> str | None:
    with _client(port, authority) as connection:
        try:
            found = connection.info("replication").get(name)
        except client.ConnectionError:
            return None
        return None if found is None else str(found)


def _sees_replica(port: int, authority: Authority | None) -> bool:
    with _client(port, authority) as connection:
        try:
            return bool(connection.sentinel_master(_MASTER)["num-slaves"])
        except client.RedisError:
            return False
