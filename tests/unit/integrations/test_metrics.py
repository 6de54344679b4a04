"""Gauges by state show what was counted last, and nothing of what was counted before."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from headway_coordinator.integrations.metrics import EngineMetrics


def shown(registry: CollectorRegistry) -> dict[tuple[str, ...], float]:
    return {
        (sample.labels["backfill"], sample.labels["state"]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "headway_backfill_dates"
    }


def test_dates_of_backfills() -> None:
    metrics = EngineMetrics()
    metrics.states({"running backfills": {"waiting": 5, "in_flight": 2}})
    assert shown(metrics.registry) == {("running", "waiting"): 5, ("running", "in_flight"): 2}
    metrics.states({"paused backfills": {"waiting": 5}})
    assert shown(metrics.registry) == {("paused", "waiting"): 5}
    metrics.states({})
    assert shown(metrics.registry) == {}
