"""Recorded workflows through the whole cluster: every edge is kept, every step has one attempt."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.scenario.worker import Worker
from tests.scenario.world import World

FOLDER = Path(__file__).parents[1] / "material" / "wf-dags"
GRAPHS = sorted(FOLDER.glob("*.json"))
SLOTS = 8


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.stem)
def test_a_recorded_workflow(graph: Path, world: World) -> None:
    tasks = json.loads(graph.read_text(encoding="utf-8"))["tasks"]
    names = {task["id"]: f"s{number}" for number, task in enumerate(tasks)}
    needs = {names[t["id"]]: [names[d] for d in t["deps"]] for t in tasks}
    order = _performed(world, needs)
    audit = world.rows("SELECT transitions FROM audit ORDER BY id")
    attempts = world.rows("SELECT step, state FROM attempt")
    assert world.check() == []
    assert Counter(a["step"] for a in attempts) == Counter(dict.fromkeys(needs, 1))
    assert {a["state"] for a in attempts} == {"succeeded"}
    assert sorted(order) == sorted(needs)
    _assert_edges_kept(audit, needs)


def test_there_are_graphs() -> None:
    assert len(GRAPHS) == 26


def _performed(world: World, needs: dict[str, list[str]]) -> list[str]:
    """Run the graph on eight slots; return the steps in the order of their ends."""
    steps = "\n".join(
        f'  {name}: {{run: "true", needs: [{", ".join(wanted)}]}}' for name, wanted in needs.items()
    )
    world.define(f"pipeline: recorded\nsteps:\n{steps}")
    world.start("A", timedelta())
    world.add_worker("w1", SLOTS, ["default"])
    world.request_run("r", "recorded", {}, "ann")
    world.work()
    worker = world.workers["w1"]
    order: list[str] = []
    while len(order) < len(needs):
        world.take(worker, SLOTS - len(worker.running))
        assert worker.running, f"nothing runs after {len(order)} of {len(needs)} steps"
        order += _end_some(world, worker)
        world.work()
        world.beat(worker)
    return order


def _end_some(world: World, worker: Worker) -> list[str]:
    """End every other running step, the newest first, so that ends do not come in order."""
    ended = []
    for attempt in [*worker.running][::-2]:
        ended.append(worker.running[attempt].work.step)
        sealed = worker.complete(attempt, {"outcome": "succeeded"}, world.clock.now())
        world.broker.events.append(sealed)
    return ended


def _assert_edges_kept(audit: list[dict[str, Any]], needs: dict[str, list[str]]) -> None:
    done: set[str] = set()
    for row in audit:
        for move in json.loads(row["transitions"]):
            if move["entity"] != "step":
                continue
            if move["to"] == "ready":
                assert done.issuperset(needs[move["id"]]), f"{move['id']} came too early"
            if move["to"] == "succeeded":
                done.add(move["id"])
    assert done == set(needs)
