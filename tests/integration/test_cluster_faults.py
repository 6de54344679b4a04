"""Real processes on real servers, of which one is killed, stopped, emptied or lied to."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from headway.protocol.queues import EVENTS
from tests.integration.brokers import Broker
from tests.integration.cluster import Cluster, steps_of
from tests.integration.process_trees import HEADER, assert_gone, sleeper, wait_pids, why
from tests.servers.waiting import wait_until


def test_a_killed_worker_that_restarts_runs_its_step_again(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.start_api()
    cluster.start_engine()
    worker = cluster.start_worker()
    cluster.apply(HEADER + sleeper("long", tmp_path, "", once=True))
    run = cluster.run("long")
    wait_pids(tmp_path)
    worker.send(signal.SIGKILL)
    worker.wait()
    assert_gone(tmp_path)
    cluster.start_worker()
    shown = cluster.wait(run)
    attempts = steps_of(shown)["sleep"]["attempts"]
    assert shown["state"] == "succeeded"
    assert [a["state"] for a in attempts] == ["lost", "succeeded"]
    assert attempts[0]["reason"] == "worker_restarted"


def test_a_worker_that_never_returns_is_given_up_after_its_lease(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.start_api()
    cluster.start_engine()
    worker = cluster.start_worker(name="first")
    cluster.apply(HEADER + sleeper("long", tmp_path, "", once=True))
    run = cluster.run("long")
    wait_pids(tmp_path)
    worker.send(signal.SIGKILL)
    cluster.start_worker(name="second")
    shown = cluster.wait(run)
    attempts = steps_of(shown)["sleep"]["attempts"]
    assert [a["state"] for a in attempts] == ["lost", "succeeded"]
    assert attempts[0]["reason"] == "lease_expired"


def test_a_step_of_a_stopped_worker_has_ended_before_it_runs_elsewhere(
    cluster: Cluster, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    cluster.start_api()
    cluster.start_engine()
    first = cluster.start_worker(name="first")
    cluster.apply(
        HEADER
        + f"""
pipeline: traced
steps:
  trace:
    run: |
      for i in $(seq $((HEADWAY_ATTEMPT == 1 ? 6000 : 20))); do
        echo $HEADWAY_ATTEMPT >> {trace}
        sleep 0.05
      done
"""
    )
    run = cluster.run("traced")
    wait_until(trace.exists, what="the step's first line")
    first.send(signal.SIGSTOP)  # the worker alone: its launcher and the step go on
    try:
        cluster.start_worker(name="second")
        shown = cluster.wait(run)
    finally:
        first.send(signal.SIGCONT)
    lines = trace.read_text().split()
    assert shown["state"] == "succeeded", why(shown)
    assert lines == sorted(lines), "both attempts wrote at the same time"
    assert lines.count("2") == 20


def test_another_coordinator_leads_when_the_leader_is_killed(cluster: Cluster) -> None:
    cluster.start_api()
    first = cluster.start_engine("engine-a")
    wait_until(lambda: cluster.leader() == "engine-a", what="the first leader")
    cluster.start_engine("engine-b")
    cluster.start_worker()
    cluster.apply(HEADER + _chain("chain", 12))
    run = cluster.run("chain")
    cluster.wait_step(run, "s2", "succeeded")
    first.send(signal.SIGKILL)
    shown = cluster.wait(run)
    assert shown["state"] == "succeeded"
    assert all(len(s["attempts"]) == 1 for s in shown["steps"])
    assert cluster.leader() == "engine-b"


def test_a_leader_that_was_paused_past_its_term_writes_nothing(cluster: Cluster) -> None:
    cluster.start_api()
    first = cluster.start_engine("engine-a")
    wait_until(lambda: cluster.leader() == "engine-a", what="the first leader")
    cluster.start_engine("engine-b")
    cluster.start_worker()
    cluster.apply(HEADER + _chain("chain", 10))
    run = cluster.run("chain")
    cluster.wait_step(run, "s1", "succeeded")
    first.send(signal.SIGSTOP)
    try:
        wait_until(lambda: cluster.leader() == "engine-b", what="the takeover")
    finally:
        first.send(signal.SIGCONT)
    shown = cluster.wait(run)
    first.wait_for_output("leadership_lost")
    assert shown["state"] == "succeeded"
    assert all(len(s["attempts"]) == 1 for s in shown["steps"])
    epochs = [row["epoch"] for row in _audit(cluster, run)]
    assert epochs == sorted(epochs), "a row of the old epoch was written after the new leader's"


def test_a_leader_that_ends_in_order_hands_over_at_once(cluster: Cluster) -> None:
    cluster.start_api()
    first = cluster.start_engine("engine-a")
    wait_until(lambda: cluster.leader() == "engine-a", what="the first leader")
    cluster.start_engine("engine-b")
    assert first.stop() == 0
    wait_until(lambda: cluster.leader() == "engine-b", what="the handover")


def test_dispatches_come_back_after_the_broker_lost_its_data(
    cluster: Cluster, broker: Broker
) -> None:
    cluster.start_api()
    cluster.start_engine()
    first = cluster.start_worker(slots=1)
    cluster.apply(HEADER + "pipeline: two\nsteps:\n  a: {run: 'sleep 3'}\n  b: {run: 'true'}\n")
    run = cluster.run("two")
    cluster.wait_step(run, "a", "running")
    cluster.wait_step(run, "b", "dispatched")
    broker.lose_data(holders=["engine"], queues=["demo.default", EVENTS])
    shown = cluster.wait(run)
    assert shown["state"] == "succeeded"
    assert all(len(s["attempts"]) == 1 for s in shown["steps"])
    assert first.running


def test_a_drained_worker_finishes_its_step(cluster: Cluster) -> None:
    cluster.start_api()
    cluster.start_engine()
    worker = cluster.start_worker()
    cluster.apply(HEADER + "pipeline: short\nsteps:\n  a: {run: 'sleep 2'}\n")
    run = cluster.run("short")
    cluster.wait_step(run, "a", "running")
    assert worker.stop() == 0
    shown = cluster.wait(run)
    assert shown["state"] == "succeeded"
    assert len(steps_of(shown)["a"]["attempts"]) == 1


def test_an_api_that_is_away_for_a_moment_costs_no_attempt(
    cluster: Cluster, tmp_path: Path
) -> None:
    # The worker gives a step up when its lease ends: a slow machine starts an API more slowly.
    cluster.extra = {**cluster.extra, "HEADWAY_WORKER_LEASE": "120"}
    cluster.start()
    cluster.apply(
        HEADER
        + f"""
pipeline: files
steps:
  make:
    run: |
      until test -e {tmp_path}/gone; do sleep 0.05; done
      echo data > "$HEADWAY_WORKDIR/data.txt"
    artifacts: [data.txt]
  read:
    needs: [make]
    run: cat "$HEADWAY_INPUTS/raw/data.txt"
    inputs: {{raw: "${{{{ steps.make.artifacts }}}}"}}
"""
    )
    run = cluster.run("files")
    cluster.wait_step(run, "make", "running")
    api = cluster.children["api"]
    api.send(signal.SIGKILL)
    api.wait()
    (tmp_path / "gone").touch()
    cluster.start_api()
    shown = cluster.wait(run)
    assert shown["state"] == "succeeded", why(shown)
    assert all(len(s["attempts"]) == 1 for s in shown["steps"])


def test_a_run_whose_rows_were_changed_by_hand_is_set_aside_and_others_go_on(
    cluster: Cluster,
) -> None:
    from sqlalchemy import create_engine, text

    cluster.start()
    cluster.apply(HEADER + "pipeline: calm\nsteps:\n  a: {run: 'sleep 600'}\n")
    cluster.apply(HEADER + "pipeline: other\nsteps:\n  a: {run: 'true'}\n")
    run = cluster.run("calm")
    cluster.wait_step(run, "a", "running")
    engine = create_engine(cluster.database_url)
    with engine.begin() as connection:
        change = "update attempt set state = 'succeeded', finished_at = now() where run_id = :run"
        connection.execute(text(change), {"run": run})
    engine.dispose()
    wait_until(lambda: cluster.show(run)["quarantine"], what="the quarantine")
    assert cluster.wait(cluster.run("other"))["state"] == "succeeded"


def test_garbage_and_forgeries_on_the_event_queue_change_nothing(
    cluster: Cluster, broker: Broker
) -> None:
    import json

    cluster.start()
    cluster.apply(HEADER + "pipeline: calm\nsteps:\n  a: {run: 'sleep 2'}\n")
    run = cluster.run("calm")
    step = cluster.wait_step(run, "a", "running")
    forged = {
        "attempt": step["attempts"][-1]["id"],
        "fence": 1,
        "run": run,
        "step": "a",
        "worker": "somebody",
        "boot": "else",
        "seq": 1,
        "outcome": "failed",
        "started_at": "2026-01-01T00:00:00Z",
        "finished_at": "2026-01-01T00:00:00Z",
    }
    sealed = {"body": json.dumps(forged), "mac": "0" * 64}
    bodies = ["", "{", "[" * 5000, "null", '{"nudge": []}', json.dumps(sealed)]
    bodies.append(json.dumps({"completions": [{"body": "{}", "mac": "0" * 64}]}))
    bodies.append(json.dumps({"completions": [sealed]}))
    broker.send(*bodies)
    cluster.children["engine"].wait_for_output("forged")
    assert cluster.wait(run)["state"] == "succeeded"


def _audit(cluster: Cluster, run: str) -> list[dict[str, Any]]:
    rows, _ = cluster.storage.queries.audit(run=run, teams=None, limit=500, cursor=None)
    return sorted(rows, key=lambda row: str(row["id"]).zfill(20))


def _chain(name: str, length: int) -> str:
    steps = [
        f"  s{i}: {{run: 'sleep 0.2'{f', needs: [s{i - 1}]' if i else ''}}}" for i in range(length)
    ]
    return "\n".join([f"pipeline: {name}", "steps:", *steps, ""])
