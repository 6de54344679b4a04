"""A whole Headway of real processes on real servers, for tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headway.client import Client
from headway_coordinator.embedded import HEADWAY
from headway_coordinator.raising import make_token
from headway_coordinator.storage.migrating import upgrade
from headway_coordinator.storage.opening import open_storage
from tests.servers.processes import Child, Processes
from tests.servers.sources import free_port
from tests.servers.waiting import wait_until

TERMINAL = frozenset({"succeeded", "failed", "cancelled", "timed_out"})
FAST = {
    "HEADWAY_LEASE_TERM": "3",
    "HEADWAY_WORKER_LEASE": "12",
    "HEADWAY_HEARTBEAT": "1",
    "HEADWAY_CLAIM_DEADLINE": "3",
}


@dataclass
class Cluster:
    """Processes by name. Times are short, so that tests see leases end; the ratios are kept."""

    processes: Processes
    database_url: str
    broker_url: str
    folder: Path
    extra: Mapping[str, str] = field(default_factory=dict)
    children: dict[str, Child] = field(default_factory=dict)

    def __post_init__(self) -> None:
        upgrade(self.database_url)
        self.storage = open_storage(self.database_url, application_name="test")
        self.token = make_token(self.storage, subject="tester", role="admin", team=None)
        self.port = free_port()
        self.api_url = f"http://127.0.0.1:{self.port}"
        self.client = Client([self.api_url], self.token)

    def environment(self, **more: str) -> dict[str, str]:
        plain = {k: v for k, v in os.environ.items() if not k.startswith("HEADWAY_")}
        return {
            **plain,
            **FAST,
            "HEADWAY_DATABASE_URL": self.database_url,
            "HEADWAY_BROKER_URL": self.broker_url,
            "HEADWAY_STORE_URL": f"file://{self.folder / 'store'}",
            "HEADWAY_SECRET_KEY": "a key that only this test uses",
            "HEADWAY_LISTEN": f"127.0.0.1:{self.port}",
            "HEADWAY_API_URL": self.api_url,
            "HEADWAY_SUPERVISED": "1",
            "HEADWAY_HTTP_ALLOW": "127.0.0.0/8",
            **self.extra,
            **more,
        }

    def start_api(self, *, awaited: bool = True, **env: str) -> Child:
        child = self._start("api", "coordinator", "--only", "api", **env)
        if awaited:
            child.wait_for(self._ready, what="a ready API")
        return child

    def start_engine(self, name: str = "engine", **env: str) -> Child:
        return self._start(name, "coordinator", "--only", "engine", HEADWAY_HOLDER=name, **env)

    def start_worker(
        self,
        team: str = "demo",
        classes: Sequence[str] = ("default",),
        *,
        name: str = "worker",
        slots: int = 4,
        **env: str,
    ) -> Child:
        token = make_token(self.storage, subject=name, role="worker", team=team)
        args = ["--team", team, "--slots", str(slots)]
        args += [part for c in classes for part in ("--class", c)]
        env = {"HEADWAY_TOKEN": token, "HEADWAY_STATE_DIR": str(self.folder / name), **env}
        return self._start(name, "worker", *args, **env)

    def start(self) -> None:
        """Start an API, an engine and a worker of team demo."""
        self.start_api()
        self.start_engine()
        self.start_worker()

    def _start(self, name: str, *args: str, **env: str) -> Child:
        child = self.processes.start(
            [*HEADWAY, *args], name=name, env=self.environment(**env), dies_by=signal.SIGKILL
        )
        self.children[name] = child
        return child

    def _ready(self) -> bool:
        import httpx2

        try:
            return httpx2.get(f"{self.api_url}/readyz").status_code == httpx2.codes.OK
        except httpx2.HTTPError:
            return False

    def apply(self, text: str) -> None:
        self.client.apply([("pipeline.yaml", text)])

    def run(self, pipeline: str, **params: Any) -> str:
        """Start a run; return its id."""
        id: str = self.client.start_run(pipeline, params=params)["id"]
        return id

    def show(self, run: str) -> dict[str, Any]:
        return self.client.run(run)

    def wait(self, run: str, *, within: float = 60.0) -> dict[str, Any]:
        """Return the run once it has ended."""
        return wait_until(
            lambda: (shown := self.show(run))["state"] in TERMINAL and shown,
            within=within,
            what=f"the end of {run}",
        )

    def wait_step(self, run: str, step: str, state: str, *, within: float = 30.0) -> dict[str, Any]:
        """Return the step once it is in `state`. A step that runs is told by its newest attempt:
        `dispatched` until a worker has claimed it, then `running`."""

        def found() -> dict[str, Any] | None:
            for each in self.show(run)["steps"]:
                if each["step"] == step:
                    live = each["state"] == "running" and each["attempts"]
                    now = live[-1]["state"] if live else each["state"]
                    return dict(each) if now == state else None
            return None

        return wait_until(found, within=within, what=f"{step} {state}")

    def leader(self) -> str | None:
        """Return the holder of the lease, if it has not run out."""
        lease = self.storage.leases.current("advance/0")
        if lease is None or lease.expires_at < self.storage.sweeps.database_now():
            return None
        return lease.holder

    def close(self) -> None:
        self.client.close()
        self.storage.close()


def steps_of(shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return a shown run's steps by name."""
    return {step["step"]: step for step in shown["steps"]}
