"""Real processes on real servers: what a user would meet."""

from __future__ import annotations

from pathlib import Path

from tests.integration.cluster import Cluster, steps_of
from tests.integration.process_trees import HEADER, assert_gone, sleeper, wait_pids, why
from tests.servers.waiting import wait_until


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
    assert shown["state"] == "succeeded", why(shown)
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
    cluster.apply(HEADER + sleeper("slow", tmp_path, "timeout: 1s"))
    run = cluster.run("slow")
    shown = cluster.wait(run)
    step = steps_of(shown)["sleep"]
    assert (shown["state"], step["state"], step["reason"]) == ("failed", "failed", "timed_out")
    assert_gone(tmp_path)


def test_cancelling_a_running_tree_leaves_no_process(cluster: Cluster, tmp_path: Path) -> None:
    cluster.start()
    cluster.apply(HEADER + sleeper("long", tmp_path, "timeout: 1h"))
    run = cluster.run("long")
    wait_pids(tmp_path)
    cluster.client.cancel(run, "not needed")
    assert cluster.wait(run)["state"] == "cancelled"
    assert_gone(tmp_path)


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
