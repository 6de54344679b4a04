"""W7's figures: which deliveries are lost or doubled, and how long the backlog took."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from headway.spec import load
from headway_coordinator.bench.arrivals import Sent, definition, figures, outcomes

NOW = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)


def event(id: str, *runs: str | None) -> dict[str, Any]:
    return {"id": id, "decisions": [{"run": run} for run in runs]}


def run(id: str, state: str = "succeeded", after: float = 1.0) -> dict[str, Any]:
    ended = (NOW + timedelta(seconds=after)).isoformat()
    return {"id": id, "state": state, "finished_at": ended}


def test_each_delivery_has_one_run_that_succeeded_or_is_counted() -> None:
    events = [
        event("well", "r1"),
        event("twice", "r2", "r3"),
        event("failed", "r4"),
        event("refused", None),
        event("nobody"),
    ]
    runs = [run("r1"), run("r2"), run("r3"), run("r4", "failed")]
    sent = ["well", "twice", "failed", "refused", "nobody", "never-kept"]
    assert outcomes(sent, events, runs) == {"lost": 4, "doubled": 1}
    assert outcomes(["well"], events, runs) == {"lost": 0, "doubled": 0}


def test_two_deliveries_that_are_one_event_are_both_accounted_for() -> None:
    assert outcomes(["e", "e"], [event("e", "r1")], [run("r1")]) == {"lost": 0, "doubled": 0}


def test_the_drain_is_from_the_last_arrival_to_the_last_end() -> None:
    sent = Sent([float(n) for n in range(1, 102)], [], Counter({"503": 2, "OSError": 1}))
    runs = [run("warm-up", after=-60), run("r1", after=3.5), run("r2", after=2)]
    shown = figures(sent, {"lost": 0, "doubled": 0}, runs, NOW)
    assert (shown["accepted_p50_ms"], shown["accepted_p99_ms"]) == (51.0, 100.0)
    assert (shown["refused"], shown["refusals"]) == (3, {"503": 2, "OSError": 1})
    assert (shown["drain_s"], shown["runs"]) == (3.5, 2)


def test_what_was_refused_altogether_has_no_figures() -> None:
    shown = figures(Sent(), {"lost": 0, "doubled": 0}, [run("warm-up")], None)
    assert (shown["accepted_p99_ms"], shown["drain_s"], shown["runs"]) == (None, None, 0)


def test_the_pipeline_is_a_good_one() -> None:
    loaded = load(definition("bench-w7-50", "/code"), "w7.yaml")
    assert not loaded.problems
    assert loaded.spec is not None
    [trigger] = loaded.spec.canonical["triggers"]
    assert trigger["webhook"]["name"] == "bench-w7-50"
