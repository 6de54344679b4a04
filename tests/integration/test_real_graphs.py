"""The real workflow graphs run to their end on real processes, their run times scaled down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.cluster import Cluster
from tests.servers.waiting import wait_until

GRAPHS = sorted((Path(__file__).parents[1] / "material" / "wf-dags").glob("*.json"))
CRITICAL_PATH_S = 0.4  # of every graph, after scaling
# The step's work takes as long as the recorded task did, scaled.
PROGRAM = "import time\n\ndef work(s):\n    time.sleep(s)\n"


@dataclass(frozen=True, slots=True)
class Task:
    runtime_s: float
    needs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    name: str
    tasks: tuple[Task, ...]
    critical_path_s: float


def graphs() -> Iterator[Graph]:
    for path in GRAPHS:
        recorded = json.loads(path.read_text())
        place = {task["id"]: index for index, task in enumerate(recorded["tasks"])}
        tasks = tuple(
            Task(task["runtime_s"], tuple(place[need] for need in task["deps"]))
            for task in recorded["tasks"]
        )
        yield Graph(path.stem, tasks, recorded["stats"]["cp_s"])


@pytest.fixture
def running(cluster: Cluster, tmp_path: Path) -> Cluster:
    (tmp_path / "graph.py").write_text(PROGRAM)
    cluster.start_api()
    cluster.start_engine()
    cluster.start_worker(slots=16)
    return cluster


@pytest.mark.timeout(300)
def test_every_graph_runs_each_step_once_and_no_edge_is_violated(
    running: Cluster, tmp_path: Path
) -> None:
    found = list(graphs())
    assert len(found) == 26
    started = {}
    for graph in found:
        running.apply(_definition(graph, tmp_path))
        started[graph.name] = running.run(_pipeline(graph))
    states = wait_until(lambda: _ended(running, started), within=240, what="the end of all graphs")
    assert set(states.values()) == {"succeeded"}, states
    for graph in found:
        _check(graph, running.show(started[graph.name]))


def _ended(running: Cluster, started: dict[str, str]) -> dict[str, str] | None:
    rows = {row["id"]: row for row in running.client.runs(limit=100)["runs"]}
    states = {name: rows[id]["state"] for name, id in started.items()}
    return states if not {"queued", "running"} & set(states.values()) else None


def _check(graph: Graph, shown: dict[str, Any]) -> None:
    attempts = {s["step"]: s["attempts"] for s in shown["steps"]}
    assert len(attempts) == len(graph.tasks)
    assert all(len(made) == 1 for made in attempts.values())
    started = {name: _moment(made[0]["started_at"]) for name, made in attempts.items()}
    ended = {s["step"]: _moment(s["finished_at"]) for s in shown["steps"]}
    for index, task in enumerate(graph.tasks):
        for need in task.needs:
            assert ended[_step(need)] <= started[_step(index)], (graph.name, need, index)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _pipeline(graph: Graph) -> str:
    return "g-" + "".join(c if c.isalnum() else "-" for c in graph.name.lower())[:60].strip("-")


def _step(index: int) -> str:
    return f"t{index}"


def _definition(graph: Graph, folder: Path) -> str:
    scale = CRITICAL_PATH_S / max(graph.critical_path_s, 0.001)
    return yaml.safe_dump(
        {
            "headway": 1,
            "pipeline": _pipeline(graph),
            "team": "demo",
            "owner": "demo@example.com",
            "code": {"path": str(folder)},
            "steps": {
                _step(index): {
                    "python": "graph:work",
                    "with": {"s": round(task.runtime_s * scale, 4)},
                    "needs": [_step(need) for need in task.needs],
                }
                for index, task in enumerate(graph.tasks)
            },
        },
        sort_keys=False,
    )
