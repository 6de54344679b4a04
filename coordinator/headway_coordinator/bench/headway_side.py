"""Measures Headway, deployed as usual: engine, API and a worker, each a process."""

from __future__ import annotations

import os
import secrets
import time
from datetime import datetime
from pathlib import Path

import httpx2

from headway.clock import Clock
from headway.errors import DefectError, UnavailableError
from headway_coordinator.bench.cases import Case, definition
from headway_coordinator.embedded import HEADWAY
from headway_coordinator.raising import make_token
from headway_coordinator.storage.migrating import upgrade
from headway_coordinator.storage.opening import open_storage
from headway_coordinator.supervision import Child, Supervisor

_TIMEOUT_S = 300.0
_TICK = os.sysconf("SC_CLK_TCK")


class HeadwaySide:
    """The whole of Headway on the given database and broker."""

    def __init__(
        self,
        *,
        database_url: str,
        broker_url: str,
        folder: Path,
        port: int,
        slots: int,
        clock: Clock,
    ) -> None:
        self._database_url = database_url
        self._broker_url = broker_url
        self._folder = folder
        self._slots = slots
        self._clock = clock
        self._url = f"http://127.0.0.1:{port}"
        self._listen = f"127.0.0.1:{port}"
        self._pids: dict[str, int] = {}
        self._client = httpx2.Client(base_url=self._url, timeout=60.0)

    def start(self, supervisor: Supervisor) -> None:
        """Start the processes and wait until a step has run."""
        upgrade(self._database_url)
        storage = open_storage(self._database_url, application_name="headway:bench")
        try:
            token = make_token(storage, subject="bench", role="admin", team=None)
            worker_token = make_token(storage, subject="bench", role="worker", team="bench")
        finally:
            storage.close()
        self._client.headers["Authorization"] = f"Bearer {token}"
        env = {
            "HEADWAY_DATABASE_URL": self._database_url,
            "HEADWAY_BROKER_URL": self._broker_url,
            "HEADWAY_STORE_URL": f"file://{self._folder / 'store'}",
            "HEADWAY_SECRET_KEY": secrets.token_hex(32),
            "HEADWAY_LISTEN": self._listen,
            "HEADWAY_SUPERVISED": "1",
            "HEADWAY_API_URL": self._url,
        }
        for part in ("api", "engine"):
            argv = [*HEADWAY, "coordinator", "--only", part]
            log = self._folder / f"{part}.log"
            self._pids[part] = supervisor.start(Child(part, argv, env, log))
        code = self._folder / "code"
        code.mkdir(exist_ok=True)
        (code / "nothing.py").write_text("def done():\n    return None\n")
        env["HEADWAY_TOKEN"] = worker_token
        env["HEADWAY_STATE_DIR"] = str(self._folder / "worker")
        argv = [*HEADWAY, "worker", "--team", "bench", "--class", "bench", "--slots"]
        log = self._folder / "worker.log"
        argv.append(str(self._slots))
        self._pids["worker"] = supervisor.start(Child("worker", argv, env, log, grace_s=40))
        self._wait_ready()
        self.measure(Case("warm", "warm", 1, fan=2 * self._slots))

    def measure(self, case: Case) -> float:
        """Run the case; return the seconds from the first request to the last run's end."""
        text = definition(case, str(self._folder / "code"))
        answer = self._client.post(
            "/api/v1/pipelines", json={"files": [{"name": f"{case.name}.yaml", "text": text}]}
        )
        answer.raise_for_status()
        started = self._clock.monotonic()
        ids = []
        for _ in range(case.runs):
            body = {"pipeline": f"bench-{case.name}", "team": "bench"}
            ids.append(self._client.post("/api/v1/runs", json=body).raise_for_status().json()["id"])
        return self._ended(ids, started)

    def _ended(self, ids: list[str], started: float) -> float:
        """Wait for all runs; the database's own times say when the last one ended."""
        pause = 0.02
        while True:
            # The list costs little: the page of one run costs what its steps cost.
            rows = self._client.get("/api/v1/runs", params={"limit": len(ids)}).json()["runs"]
            ours = [row for row in rows if row["id"] in ids]
            if len(ours) == len(ids) and all(row["finished_at"] for row in ours):
                break
            if self._clock.monotonic() - started > _TIMEOUT_S:
                raise UnavailableError("bench_timeout", "the runs did not end", str(self._folder))
            time.sleep(pause)
            pause = min(0.25, pause * 1.3)
        failed = [row for row in ours if row["state"] != "succeeded"]
        if failed:
            raise DefectError("bench_failed", f"a run ended as {failed[0]['state']}", failed[0])
        first = min(datetime.fromisoformat(row["created_at"]) for row in ours)
        last = max(datetime.fromisoformat(row["finished_at"]) for row in ours)
        return (last - first).total_seconds()

    def cpu_seconds(self) -> dict[str, float]:
        """Return the processor seconds that each process has used so far."""
        return {name: _cpu(pid) for name, pid in self._pids.items()}

    def _wait_ready(self) -> None:
        deadline = self._clock.monotonic() + 60
        while True:
            try:
                if self._client.get("/readyz").status_code == httpx2.codes.OK:
                    return
            except httpx2.HTTPError:
                pass
            if self._clock.monotonic() > deadline:
                raise UnavailableError("not_ready", "the API did not start", str(self._folder))
            time.sleep(0.05)

    def close(self) -> None:
        self._client.close()


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK
