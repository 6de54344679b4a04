"""26 recorded workflows walk through the engine and the backlog on a clock that is moved by hand.

A greedy list schedule on N slots, without any overhead, must take what an independent scheduler
says it takes; then the engine added no wait and broke no edge.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from headway.plan.model import Plan
from headway_coordinator.admission.backlog import Backlog, Waiting
from headway_coordinator.engine.model import StepMoved
from headway_coordinator.engine.states import StepStatus
from tests.unit.engine.building import QUEUE, START, Journey, plan, planned

GRAPHS = sorted((Path(__file__).parents[1] / "material" / "wf-dags").glob("*.json"))
SLOTS = (2, 8, 32)
Rank = Callable[[str], int]


def test_all_graphs_are_there() -> None:
    assert len(GRAPHS) == 26


@pytest.mark.parametrize("slots", SLOTS)
@pytest.mark.parametrize("path", GRAPHS, ids=lambda p: p.stem)
def test_the_longest_remaining_path_first_takes_what_was_published(path: Path, slots: int) -> None:
    """The published figures order by remaining path, then id; both stand in the rank here."""
    graph = load(path.name)
    order = sorted(graph.tails, key=lambda id: (-graph.tails[id], id))
    place = {id: rank for rank, id in enumerate(order)}
    taken = simulate(graph, slots, place.__getitem__)
    published = graph.stats[f"ls_{slots}"]  # rounded to 0.01 s
    assert taken.total_seconds() == pytest.approx(published, abs=0.0051)


@pytest.mark.parametrize("slots", SLOTS)
@pytest.mark.parametrize("path", GRAPHS, ids=lambda p: p.stem)
def test_headways_own_order_takes_what_a_reference_takes(path: Path, slots: int) -> None:
    """Longest wait first, then the place in the plan; within Graham's bound of the best."""
    graph = load(path.name)
    taken = simulate(graph, slots, lambda _: 0)
    assert taken == reference(graph, slots)
    bound = graph.work / slots + (1 - 1 / slots) * max(graph.tails.values())
    assert taken <= bound + timedelta(milliseconds=1)


class Graph:
    """A recorded workflow: its plan, run times and published figures."""

    def __init__(self, recorded: Mapping[str, Any]) -> None:
        tasks = {task["id"]: task for task in recorded["tasks"]}
        self.stats: Mapping[str, float] = recorded["stats"]
        self.times = {id: timedelta(seconds=t["runtime_s"]) for id, t in tasks.items()}
        self.needs = {id: tuple(t["deps"]) for id, t in tasks.items()}
        self.plan: Plan = plan(*(planned(id, *self.needs[id]) for id in self._ordered()))
        self.work = sum(self.times.values(), timedelta())
        self.tails = self._tails()

    def _ordered(self) -> list[str]:
        ordered: dict[str, None] = {}
        left = dict(self.needs)
        while left:
            free = [id for id, needs in left.items() if all(n in ordered for n in needs)]
            assert free, "the graph has a circle"
            ordered.update(dict.fromkeys(free))
            for id in free:
                del left[id]
        return list(ordered)

    def _tails(self) -> dict[str, timedelta]:
        """Return for each task the longest path from its start to the end."""
        tails: dict[str, timedelta] = {}
        for step in reversed(self.plan.steps):
            after = (tails[d] for d in self.plan.dependents[step.key])
            tails[step.key] = self.times[step.key] + max(after, default=timedelta())
        return tails


@cache
def load(name: str) -> Graph:
    (path,) = (p for p in GRAPHS if p.name == name)
    return Graph(json.loads(path.read_text()))


def simulate(graph: Graph, slots: int, rank: Rank) -> timedelta:
    """Perform the workflow on `slots` slots; return how long it took."""
    run = Journey.quiet(graph.plan)
    backlog = Backlog()
    busy: list[tuple[datetime, int, str]] = []
    ended: dict[str, datetime] = {}
    changes = run.begun.changes
    while True:
        for change in changes:
            if isinstance(change, StepMoved) and change.after.status is StepStatus.READY:
                step = graph.plan.by_key[change.after.key]
                backlog.add(QUEUE, Waiting(rank(step.key), run.now, "r", (step.index, 0), step.key))
        if not busy or busy[0][0] > run.now:  # all that ends at this moment has ended
            for waiting in backlog.take(QUEUE, slots - len(busy), lambda _: True):
                assert all(ended[need] <= run.now for need in graph.needs[waiting.step])
                run.admit(waiting.step)
                until = run.now + graph.times[waiting.step]
                heapq.heappush(busy, (until, waiting.place[0], waiting.step))
        if not busy:
            break
        run.now, _, key = heapq.heappop(busy)
        assert key not in ended
        ended[key] = run.now
        changes = run.finish(key).changes
    assert len(ended) == len(graph.times)
    assert run.status == "succeeded"
    assert all(step.attempts == 1 for step in run.state.steps.values())
    return run.now - START


def reference(graph: Graph, slots: int) -> timedelta:
    """Return what a scheduler takes that knows nothing of the engine: it scans lists of times."""
    place = {step.key: step.index for step in graph.plan.steps}
    ends: dict[str, timedelta] = {}
    waiting = dict(graph.needs)
    now = timedelta()
    while waiting:
        free = slots - sum(end > now for end in ends.values())
        ready = [
            (max((ends[n] for n in needs), default=timedelta()), place[id], id)
            for id, needs in waiting.items()
            if all(n in ends and ends[n] <= now for n in needs)
        ]
        started = [id for _, _, id in sorted(ready)[:free]]
        for id in started:
            ends[id] = now + graph.times[id]
            del waiting[id]
        if all(ends[id] > now for id in started):  # some recorded tasks took no time at all
            now = min((end for end in ends.values() if end > now), default=now)
    return max(ends.values())
