"""A backfill on real processes, while the coordinator that leads is killed."""

from __future__ import annotations

import signal
from collections import Counter
from functools import partial
from typing import Any

from tests.integration.cluster import Cluster
from tests.integration.process_trees import HEADER
from tests.servers.waiting import wait_until

DATES = 40
WANTED = {
    "pipeline": "daily",
    "from": "2026-01-01T00:00:00Z",
    "until": "2026-01-01T00:39:00Z",
    "every": "1m",
    "max_in_flight": 4,
}


def test_each_date_gets_one_run_though_leaders_are_killed(cluster: Cluster) -> None:
    cluster.start_api()
    engines = {name: cluster.start_engine(name) for name in ("one", "two")}
    cluster.start_worker()
    cluster.apply(HEADER + 'pipeline: daily\nsteps: {only: {run: "true"}}\n')
    id = cluster.client.start_backfill(WANTED)["id"]

    def shown() -> dict[str, Any]:
        return cluster.client.backfill(id, limit=DATES)

    def succeeded(count: int) -> bool:
        return bool(shown()["progress"]["succeeded"] >= count)

    for reached in (8, 20):
        wait_until(partial(succeeded, reached), what=f"{reached} dates")
        name = wait_until(cluster.leader, what="a leader")
        engines[name].send(signal.SIGKILL)
        engines[name].wait()
        engines[name] = cluster.start_engine(name)
    done = wait_until(
        lambda: (now := shown())["state"] == "done" and now, within=90, what="the backfill's end"
    )
    assert done["progress"]["succeeded"] == DATES
    rows = cluster.client.runs(pipeline="daily", limit=500)["runs"]
    assert Counter(row["id"] for row in rows) == Counter(date["run"] for date in done["dates"])
    stored = cluster.storage.runs.load([row["id"] for row in rows])
    assert len({each.run.logical_date for each in stored}) == len(rows) == DATES
