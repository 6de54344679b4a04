"""Every metric that an engine exposes stands in docs/metrics.md as it is, and none besides."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry

from headway_coordinator.application.report import Report
from headway_coordinator.bootstrap import Engine
from headway_coordinator.engine.events import Finished
from headway_coordinator.engine.model import Run, Step
from headway_coordinator.engine.states import RunStatus, StepStatus
from headway_coordinator.integrations.metrics import EngineMetrics
from headway_coordinator.settings import load_settings
from tests.architecture.repository import ROOT

Described = dict[str, tuple[str, frozenset[str]]]  # name -> type, labels

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_ROW = re.compile(r"^\| `(headway_\w+)` \| (\w+) \|([^|]*)\|[^|]+\|[^|]+\|$", re.MULTILINE)


def test_the_page_and_the_registry_agree(tmp_path: Path) -> None:
    # Built as in production, since other parts add metrics to the registry; it connects to nothing.
    engine = Engine(
        load_settings(
            database_url=f"sqlite:///{tmp_path / 'headway.db'}",
            broker_url="redis://127.0.0.1:1/0",
            secret_key="for tests, and long enough",
        )
    )
    try:
        touch_every_label(engine.metrics)
        exposed = exposed_by(engine.metrics.registry)
    finally:
        engine.close()
    assert documented() == exposed


def test_a_metric_that_is_not_documented_is_found() -> None:
    metrics = EngineMetrics()
    metrics.watch("of_tomorrow", "Not there yet.", lambda: 1.0)
    assert set(exposed_by(metrics.registry)) - set(documented()) == {"headway_of_tomorrow"}


def test_a_worker_s_figures_are_documented() -> None:
    source = ROOT / "workers" / "headway_worker" / "metrics.py"
    page = (ROOT / "docs" / "metrics.md").read_text()
    served = set(re.findall(r'"(headway_worker_\w+)"', source.read_text()))
    assert served
    assert served == set(re.findall(r"^\| `(headway_worker_\w+)` \|", page, re.MULTILINE))


def documented() -> Described:
    rows = _ROW.findall((ROOT / "docs" / "metrics.md").read_text())
    assert len({name for name, _, _ in rows}) == len(rows), "a metric stands there twice"
    return {name: (kind, frozenset(re.findall(r"`(\w+)`", cell))) for name, kind, cell in rows}


def exposed_by(registry: CollectorRegistry) -> Described:
    """Return the metrics by the name under which they are queried."""
    return {
        metric.name + ("_total" if metric.type == "counter" else ""): (
            metric.type,
            frozenset(label for s in metric.samples for label in s.labels) - {"le"},
        )
        for metric in registry.collect()
    }


def touch_every_label(metrics: EngineMetrics) -> None:
    """Make each metric with labels show them: without a sample it has none."""
    metrics.batch(
        Report(
            events=1,
            runs_ended=[ended_run()],
            steps_ended=[Step("a", StepStatus.SUCCEEDED)],
            attempts_ended=[Finished("r-0-1", 1, "succeeded", started_at=NOW, finished_at=NOW)],
            queue_waits=[("demo.small", timedelta(seconds=1))],
        ),
        0.1,
    )
    metrics.decided("matched")
    metrics.refused("forged")
    metrics.failed("leading")
    dates = {"running backfills": {"waiting": 1}}
    metrics.states({"runs": {"running": 1}, "steps": {"ready": 1}, **dates})


def ended_run() -> Run:
    return Run(
        id="r",
        team="demo",
        pipeline="p",
        digest="d",
        status=RunStatus.SUCCEEDED,
        params={},
        actor="ann",
        priority=0,
        logical_date=NOW,
        created_at=NOW,
    )
