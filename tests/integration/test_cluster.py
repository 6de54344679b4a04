"""Real processes on real servers: what a user and a fault would meet."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import psutil

from headway.protocol.queues import EVENTS
from tests.integration.brokers import Broker
from tests.integration.cluster import Cluster, steps_of
from tests.servers.waiting import wait_until

HEADER = "headway: 1\nteam: demo\nowner: demo@example.com\n"


def test_a_pipeline_of_all_kinds_runs_to_its_end(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "def total(items, day):\n    print('adding', items)\n"
        "    return {'sum': sum(items), 'day': day}\n"
    )
    cluster.start()
    cluster.apply(
        HEADER
        + f"""
pipeline: kinds
code: {{path: {tmp_path}}}
params:
  day: {{type: date, default: "${{{{ run.logical_date }}}}"}}
  many: {{type: int, default: 3}}
steps:
  count:
    run: |
      echo counting to $MANY
      echo "items=[1, 2, $MANY]" >> "$HEADWAY_OUTPUT"
      mkdir -p out && echo data > "$HEADWAY_WORKDIR/data.txt"
    env: {{MANY: "${{{{ params.many }}}}"}}
    outputs: {{items: list}}
    artifacts: [data.txt]
  add:
    needs: [count]
    python: shop:total
    with: {{items: "${{{{ steps.count.outputs.items }}}}", day: "${{{{ params.day }}}}"}}
    outputs: {{sum: int, day: string}}
  read:
    needs: [count]
    run: cat "$HEADWAY_INPUTS/raw/data.txt"
    inputs: {{raw: "${{{{ steps.count.artifacts }}}}"}}
  rest: {{needs: [add], wait: 200ms}}
  big: {{needs: [rest], if: steps.add.outputs.sum > 100, run: "exit 9"}}
  ask:
    needs: [rest]
    http: {{method: GET, url: "{cluster.api_url}/healthz"}}
finally:
  clean: {{run: "true"}}
"""
    )
    run = cluster.run("kinds", many=4)
    shown = cluster.wait(run)
    steps = steps_of(shown)
    assert shown["state"] == "succeeded", _why(shown)
    assert steps["add"]["outputs"]["sum"] == 7
    assert steps["big"]["state"] == "skipped"
    assert {name: s["state"] for name, s in steps.items() if name != "big"} == dict.fromkeys(
        ["count", "add", "read", "rest", "ask", "clean"], "succeeded"
    )
    assert all(len(s["attempts"]) == 1 for n, s in steps.items() if n not in ("big", "rest"))
    assert "counting to 4" in str(cluster.client.logs(run, step="count"))
    assert "data" in str(cluster.client.logs(run, step="read"))


def test_a_step_that_fails_is_retried_until_it_succeeds(cluster: Cluster) -> None:
    cluster.start()
    cluster.apply(
        HEADER
        + """
pipeline: flaky
steps:
  try: {run: 'test "$HEADWAY_ATTEMPT" -ge 3', retry: {max: 3, delay: 100ms}}
"""
    )
    shown = cluster.wait(cluster.run("flaky"))
    attempts = steps_of(shown)["try"]["attempts"]
    assert shown["state"] == "succeeded"
    assert [a["state"] for a in attempts] == ["failed", "failed", "succeeded"]


def test_retrying_a_failed_run_keeps_what_succeeded(cluster: Cluster, tmp_path: Path) -> None:
    cluster.start()
    cluster.apply(
        HEADER
        + f"""
pipeline: mended
steps:
  first: {{run: "true"}}
  second: {{needs: [first], run: "test -e {tmp_path}/mended"}}
  third: {{needs: [second], run: "true"}}
"""
    )
    run = cluster.run("mended")
    shown = cluster.wait(run)
    assert shown["state"] == "failed"
    assert steps_of(shown)["third"]["state"] == "upstream_failed"
    (tmp_path / "mended").touch()
    cluster.client.retry(run)
    wait_until(lambda: cluster.show(run)["state"] == "succeeded", what="the retried run's success")
    steps = steps_of(cluster.show(run))
    assert [len(steps[s]["attempts"]) for s in ("first", "second", "third")] == [1, 2, 1]


def test_a_timeout_kills_the_whole_tree(cluster: Cluster, tmp_path: Path) -> None:
    cluster.start()
    cluster.apply(HEADER + _sleeper("slow", tmp_path, "timeout: 1s"))
    run = cluster.run("slow")
    shown = cluster.wait(run)
    step = steps_of(shown)["sleep"]
    assert (shown["state"], step["state"], step["reason"]) == ("failed", "failed", "timed_out")
    _assert_gone(tmp_path)


def test_cancelling_a_running_tree_leaves_no_process(cluster: Cluster, tmp_path: Path) -> None:
    cluster.start()
    cluster.apply(HEADER + _sleeper("long", tmp_path, "timeout: 1h"))
    run = cluster.run("long")
    _wait_pids(tmp_path)
    cluster.client.cancel(run, "not needed")
    assert cluster.wait(run)["state"] == "cancelled"
    _assert_gone(tmp_path)


def test_a_killed_worker_that_restarts_runs_its_step_again(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.start_api()
    cluster.start_engine()
    worker = cluster.start_worker()
    cluster.apply(HEADER + _sleeper("long", tmp_path, "", once=True))
    run = cluster.run("long")
    _wait_pids(tmp_path)
    worker.send(signal.SIGKILL)
    worker.wait()
    _assert_gone(tmp_path)
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
    cluster.apply(HEADER + _sleeper("long", tmp_path, "", once=True))
    run = cluster.run("long")
    _wait_pids(tmp_path)
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
    assert shown["state"] == "succeeded", _why(shown)
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


def test_explain_says_that_nobody_serves_the_queue(cluster: Cluster) -> None:
    cluster.start_api()
    cluster.start_engine()
    cluster.apply(HEADER + "pipeline: gpu\nsteps:\n  train: {run: 'true', class: gpu}\n")
    run = cluster.run("gpu")
    cluster.wait_step(run, "train", "ready")
    steps = cluster.client.explain(run)["steps"]
    assert [b["code"] for b in steps[0]["blockers"]] == ["no_worker"]
    cluster.start_worker(classes=("gpu",))
    assert cluster.wait(run)["state"] == "succeeded"


def test_an_api_that_is_away_for_a_moment_costs_no_attempt(
    cluster: Cluster, tmp_path: Path
) -> None:
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
    assert shown["state"] == "succeeded", _why(shown)
    assert all(len(s["attempts"]) == 1 for s in shown["steps"])


def test_a_request_that_is_never_answered_can_be_cancelled(cluster: Cluster) -> None:
    import socket

    cluster.start()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        cluster.apply(
            HEADER + f"pipeline: ask\nsteps:\n  a: {{http: {{url: '{url}', timeout: 1h}}}}\n"
        )
        run = cluster.run("ask")
        silent.settimeout(30)
        asked, _ = silent.accept()
        with asked:
            cluster.client.cancel(run)
            shown = cluster.wait(run, within=30)
    assert shown["state"] == "cancelled"
    assert [a["state"] for a in steps_of(shown)["a"]["attempts"]] == ["cancelled"]


def test_characters_that_a_database_cannot_hold_stop_nothing(cluster: Cluster) -> None:
    cluster.start()
    cluster.apply(
        HEADER
        + r"""
pipeline: odd
steps:
  odd:
    run: |
      printf '{"text": "a\u0000b \ud800", "big": 123456789012345678901}' > "$HEADWAY_OUTPUT"
      printf 'a\0b\377\n'
    outputs: {text: string, big: int}
  after: {needs: [odd], run: 'test -n "$TEXT"', env: {TEXT: "${{ steps.odd.outputs.text }}"}}
"""
    )
    shown = cluster.wait(cluster.run("odd"))
    other = cluster.run("odd")
    assert shown["state"] in ("succeeded", "failed"), shown
    assert shown["quarantine"] is None
    assert cluster.wait(other)["state"] == shown["state"]


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


def _why(shown: dict[str, Any]) -> list[Any]:
    return [(s["step"], s["state"], s["error"], s["attempts"]) for s in shown["steps"]]


def _audit(cluster: Cluster, run: str) -> list[dict[str, Any]]:
    rows, _ = cluster.storage.queries.audit(run=run, teams=None, limit=500, cursor=None)
    return sorted(rows, key=lambda row: str(row["id"]).zfill(20))


def _chain(name: str, length: int) -> str:
    steps = [
        f"  s{i}: {{run: 'sleep 0.2'{f', needs: [s{i - 1}]' if i else ''}}}" for i in range(length)
    ]
    return "\n".join([f"pipeline: {name}", "steps:", *steps, ""])


def _sleeper(name: str, folder: Path, more: str, *, once: bool = False) -> str:
    """A step that starts a daemon of its own session and writes both process ids."""
    skip = 'if [ "$HEADWAY_ATTEMPT" -gt 1 ]; then exit 0; fi\n      ' if once else ""
    return f"""
pipeline: {name}
steps:
  sleep:
    run: |
      {skip}setsid sleep 600 &
      echo $! > {folder}/child.pid
      (setsid sh -c 'echo $$ > {folder}/daemon.pid; exec sleep 600' &)
      echo $$ > {folder}/main.pid
      sleep 600
    {more}
"""


def _pids(folder: Path) -> list[int]:
    files = [folder / f"{name}.pid" for name in ("child", "daemon", "main")]
    return [int(f.read_text()) for f in files if f.exists() and f.read_text().strip()]


def _wait_pids(folder: Path) -> list[int]:
    return wait_until(
        lambda: len(_pids(folder)) == 3 and _pids(folder), what="the step's processes"
    )


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _assert_gone(folder: Path) -> None:
    pids = _pids(folder)
    assert pids, "the step never started"
    assert os.getpid() not in pids
    wait_until(lambda: not any(map(_alive, pids)), within=15, what=f"the end of {pids}")
