"""`headway bench` starts its own servers, measures both sides and leaves nothing behind."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from headway_coordinator.embedded import HEADWAY
from tests.servers.processes import Processes


def bench(processes: Processes, *args: str) -> dict[str, Any]:
    """Return the one document that the command prints on standard output."""
    shown = processes.logs.parent / "document.json"
    argv = ["sh", "-c", 'out=$1; shift; exec "$@" >"$out"', "sh", str(shown), *HEADWAY]
    command = [*argv, "bench", "--quick", "--json", *args]
    child = processes.start(command, name="bench", dies_by=signal.SIGTERM)
    assert child.wait(within=110) == 0, child.output()
    processes.no_leftovers()
    document: dict[str, Any] = json.loads(shown.read_text())
    return document


@pytest.mark.slow
def test_both_sides_are_measured_on_the_same_servers(processes: Processes) -> None:
    document = bench(processes, "--cases", "W4,W6,W9")
    assert document["versions"]["postgresql"]
    settings = document["settings"]
    assert (settings["fsync"], settings["synchronous_commit"]) == ("on", "on")
    assert settings["celery_pools"]["W4"] in ("prefork", "threads")
    fan = document["W4"]
    assert fan["headway_steps_per_s"] > 0
    assert fan["celery_steps_per_s"] > 0
    assert fan["ratio"] == pytest.approx(fan["celery_s"][0] / fan["headway_s"][0], rel=0.1)
    assert 0 < document["W6"]["p50_ms"] <= document["W6"]["p99_ms"]
    assert set(document["W9"]["us_per_step"]) == {"10", "100", "100 items"}
    assert not {"W1", "W3", "W5", "W8"} & set(document)


@pytest.mark.slow
def test_every_run_that_arrives_by_webhook_is_accounted_for(processes: Processes) -> None:
    document = bench(processes, "--against", "none", "--cases", "W7")
    assert set(document["W7"]) == {"50", "200"}
    for rate, found in document["W7"].items():
        assert found["refused"] == found["lost"] == found["doubled"] == 0
        assert found["accepted"] == found["runs"] == 2 * int(rate)
        assert 0 < found["accepted_p50_ms"] <= found["accepted_p99_ms"]
        assert found["drain_s"] >= 0


@pytest.mark.slow
def test_what_is_taken_while_idle_is_told_by_process(processes: Processes) -> None:
    document = bench(processes, "--idle")
    assert {"api", "engine", "worker"} <= set(document["idle"])
    for found in document["idle"].values():
        assert found["resident_mb"] > 0
        assert found["wakeups_per_s"] >= 0
    # The leader renews its lease; a worker has no database.
    assert document["idle"]["engine"]["queries_per_s"] > 0
    assert document["idle"]["worker"]["queries_per_s"] == 0
    assert document["active"]["added_mb"]["engine"] >= 0
