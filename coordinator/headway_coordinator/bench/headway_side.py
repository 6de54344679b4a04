"""Measures Headway, deployed as usual: engine, API and workers, each a process."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2

from headway.clock import Clock
from headway.errors import DefectError, UnavailableError
from headway_coordinator.bench.cases import (
    PARKED,
    SLOTS,
    Case,
    definition,
    pipeline_name,
    queue_class,
)
from headway_coordinator.embedded import HEADWAY, free_port
from headway_coordinator.raising import make_token
from headway_coordinator.storage.migrating import upgrade
from headway_coordinator.storage.opening import open_storage
from headway_coordinator.supervision import Child, Supervisor

_TIMEOUT_S = 300.0
_TICK = os.sysconf("SC_CLK_TCK")
_UNDER_WAY = "queued,running,paused,cancelling"
_CODE = """import time


def done():
    return None


def sleep(ms):
    time.sleep(ms / 1000)  # the work that is measured
"""


class HeadwaySide:
    """The whole of Headway on the given database and broker."""

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        database_url: str,
        broker_url: str,
        folder: Path,
        clock: Clock,
    ) -> None:
        self._supervisor = supervisor
        self.database_url = database_url
        self._folder = folder
        self._clock = clock
        listen = f"127.0.0.1:{free_port()}"
        self._env = {
            "HEADWAY_DATABASE_URL": database_url,
            "HEADWAY_BROKER_URL": broker_url,
            "HEADWAY_STORE_URL": f"file://{folder / 'store'}",
            "HEADWAY_SECRET_KEY": secrets.token_hex(32),
            "HEADWAY_LISTEN": listen,
            "HEADWAY_SUPERVISED": "1",
            "HEADWAY_API_URL": f"http://{listen}",
        }
        self.pids: dict[str, int] = {}
        self.address = f"http://{listen}"
        self.code = str(folder / "code")
        self._client = httpx2.Client(base_url=self.address, timeout=60.0)

    def start(self) -> None:
        """Start the coordinator's processes and a worker of 8 slots; wait until a step has run."""
        upgrade(self.database_url)
        storage = open_storage(self.database_url, application_name="headway:bench")
        try:
            token = make_token(storage, subject="bench", role="admin", team=None)
            self._env["HEADWAY_TOKEN"] = make_token(
                storage, subject="bench", role="worker", team="bench"
            )
        finally:
            storage.close()
        self._client.headers["Authorization"] = f"Bearer {token}"
        code = self._folder / "code"
        code.mkdir()
        (code / "steps.py").write_text(_CODE)
        for part in ("api", "engine"):
            self._start(part, [*HEADWAY, "coordinator", "--only", part])
        self.serve(SLOTS)
        self._wait_ready()
        self.warm_up(Case("ready", "ready", (1, SLOTS, 1)))

    def serve(self, slots: int) -> None:
        """Start the worker with so many slots, unless it runs already."""
        name = _worker(slots)
        if name in self.pids:
            return
        argv = [*HEADWAY, "worker", "--team", "bench", "--class", queue_class(slots)]
        state = {"HEADWAY_STATE_DIR": str(self._folder / name)}
        self._start(name, [*argv, "--slots", str(slots)], state)

    def apply(self, case: Case) -> None:
        """Make the case's pipeline known."""
        self.put_definition(f"{case.name}.yaml", definition(case, self.code))

    def put_definition(self, file: str, text: str) -> None:
        body = {"files": [{"name": file, "text": text}]}
        self._client.post("/api/v1/pipelines", json=body).raise_for_status()

    def put_secret(self, name: str, value: str) -> None:
        body = {"team": "bench", "value": value}
        self._client.put(f"/api/v1/secrets/{name}", json=body).raise_for_status()

    def start_one(self, pipeline: str) -> str:
        """Start a run of a pipeline; return its id."""
        body = {"pipeline": pipeline, "team": "bench"}
        answer = self._client.post("/api/v1/runs", json=body).raise_for_status()
        return str(answer.json()["id"])

    def warm_up(self, case: Case) -> None:
        """Run the case's graph once, so that every slot has a warm interpreter for it."""
        self.serve(case.slots)
        self.apply(case)
        self._ended(case, self.begin(case, runs=1))

    def measure(self, case: Case) -> float:
        """Run the case, warmed up before; return the seconds from the first run's acceptance on.

        They end with the last run's end; the database's own times say it.
        """
        rows = self._ended(case, self.begin(case))
        first = min(datetime.fromisoformat(row["created_at"]) for row in rows)
        last = max(datetime.fromisoformat(row["finished_at"]) for row in rows)
        return (last - first).total_seconds()

    def gaps_ms(self, case: Case) -> list[float]:
        """Run a chain; return the milliseconds from each step's end to the start of the next."""
        [run] = self.begin(case)
        self._ended(case, [run])
        steps = self._client.get(f"/api/v1/runs/{run}").raise_for_status().json()["steps"]
        attempts = [step["attempts"][-1] for step in steps]
        return [
            _milliseconds(before["finished_at"], after["started_at"])
            for before, after in pairwise(attempts)
        ]

    def open_runs(self, case: Case) -> None:
        """Start the runs of a parked case; return once each has run its first step."""
        self.apply(case)
        self.begin(case)
        waiting = case.runs * case.layers[1]
        self.until(lambda: self._waiting(f"bench.{PARKED}") >= waiting)

    def _waiting(self, queue: str) -> int:
        rows = self._client.get("/api/v1/queues").raise_for_status().json()["queues"]
        return sum(row["ready"] for row in rows if row["queue"] == queue)

    def begin(self, case: Case, runs: int | None = None) -> list[str]:
        """Start the case's runs; return their ids."""
        return [self.start_one(pipeline_name(case)) for _ in range(runs or case.runs)]

    def _ended(self, case: Case, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the runs' rows once all have ended."""
        self.wait_for_ends(pipeline_name(case))
        wanted = set(ids)
        rows = self.rows("runs", {"pipeline": pipeline_name(case), "limit": "200"}, len(ids))
        ours = [row for row in rows if row["id"] in wanted]
        wrong = [row for row in ours if row["state"] != "succeeded"]
        if wrong or len(ours) != len(ids):
            raise DefectError("bench_failed", "a run did not succeed", {"runs": wrong[:3]})
        return ours

    def wait_for_ends(self, pipeline: str) -> None:
        """Wait until no run of the pipeline is under way."""
        # Asked for what is left, not for every run: to be watched must cost next to nothing.
        left = {"pipeline": pipeline, "state": _UNDER_WAY, "limit": "1"}
        self.until(lambda: not self._page("runs", left)["runs"])

    def until(self, done: Callable[[], bool]) -> None:
        deadline = self._clock.monotonic() + _TIMEOUT_S
        pause = 0.05
        while not done():
            if self._clock.monotonic() > deadline:
                raise UnavailableError("bench_timeout", "the runs did not end", str(self._folder))
            time.sleep(pause)  # what is measured ended by the database's clock, not when it is seen
            pause = min(0.5, pause * 1.3)

    def _page(self, what: str, params: Mapping[str, str]) -> dict[str, Any]:
        answer: dict[str, Any] = (
            self._client.get(f"/api/v1/{what}", params=dict(params)).raise_for_status().json()
        )
        return answer

    def rows(self, what: str, params: Mapping[str, str], most: int) -> list[dict[str, Any]]:
        """Return rows of a list of the API, such as `runs`, page by page until there are `most`."""
        rows: list[dict[str, Any]] = []
        page = self._page(what, params)
        rows += page[what]
        while page["next"] and len(rows) < most:
            page = self._page(what, {**params, "cursor": page["next"]})
            rows += page[what]
        return rows

    def cpu_seconds(self) -> dict[str, float]:
        """Return the processor seconds that each process has used so far."""
        return {name: _cpu(pid) for name, pid in self.pids.items()}

    def close(self) -> None:
        self._client.close()

    def _start(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        log = self._folder / f"{name}.log"
        child = Child(name, list(argv), self._env | dict(env or {}), log, grace_s=40)
        self.pids[name] = self._supervisor.start(child)

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
            time.sleep(0.05)  # a process that starts tells nobody when it can be asked


def _worker(slots: int) -> str:
    return "worker" if slots == SLOTS else f"worker-{slots}"


def _milliseconds(first: str, then: str) -> float:
    return (datetime.fromisoformat(then) - datetime.fromisoformat(first)).total_seconds() * 1000


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK
