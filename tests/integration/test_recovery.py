"""A run that went wrong, mended by hand, on real processes and servers."""

from __future__ import annotations

from pathlib import Path

from tests.integration.cluster import Cluster, steps_of
from tests.integration.process_trees import HEADER, assert_gone, sleeper, wait_pids, why
from tests.servers.waiting import wait_until

MENDED = """
pipeline: mended
steps:
  load: {run: "exit 3", outputs: {rows: int}}
  report: {needs: [load], run: 'test "$ROWS" = 3', env: {ROWS: "${{ steps.load.outputs.rows }}"}}
  other: {run: "true"}
finally:
  clean: {run: "true"}
"""


def test_a_failed_run_is_marked_paused_and_cleared(cluster: Cluster) -> None:
    cluster.start()
    cluster.apply(HEADER + MENDED)
    run = cluster.run("mended")
    assert cluster.wait(run)["state"] == "failed"
    ask = cluster.client.ask_run
    body = {"steps": ["load"], "state": "succeeded", "outputs": {"rows": 3}, "reason": "by hand"}
    ask(run, "mark", body)
    cluster.wait_step(run, "report", "succeeded")
    shown = cluster.wait(run)
    assert shown["state"] == "succeeded", why(shown)
    ask(run, "clear", {"steps": ["report"]})
    wait_until(
        lambda: len(steps_of(cluster.show(run))["report"]["attempts"]) == 2,
        what="the cleared step's second attempt",
    )
    shown = cluster.wait(run)
    tries = {name: len(s["attempts"]) for name, s in steps_of(shown).items()}
    assert tries["other"] == tries["load"] == 1
    assert (tries["report"], shown["state"]) == (2, "succeeded")
    assert [asked["kind"] for asked in shown["requests"]] == ["clear", "mark"]


def test_a_paused_queue_holds_its_steps_back_through_a_new_leader(cluster: Cluster) -> None:
    cluster.start()
    cluster.apply(HEADER + "pipeline: held\nsteps: {a: {run: 'true'}}\n")
    cluster.client.steer("/queues/demo.default", pause=True, reason="a test")
    run = cluster.run("held")
    cluster.wait_step(run, "a", "ready")
    cluster.children["engine"].kill()
    cluster.start_engine("engine-2")
    wait_until(lambda: cluster.leader() == "engine-2", what="another leader")
    [step] = cluster.client.explain(run)["steps"]
    assert [(b["code"], b["subject"]) for b in step["blockers"]] == [
        ("paused", "queue demo.default")
    ]
    assert steps_of(cluster.show(run))["a"]["attempts"] == []
    cluster.client.steer("/queues/demo.default", pause=False)
    assert cluster.wait(run)["state"] == "succeeded"


def test_a_running_tree_is_stopped_before_its_step_is_cleared(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.start()
    cluster.apply(HEADER + sleeper("long", tmp_path, "timeout: 1h", once=True))
    run = cluster.run("long")
    wait_pids(tmp_path)
    cluster.client.ask_run(run, "clear", {"steps": ["sleep"], "force": True})
    shown = cluster.wait(run)
    assert shown["state"] == "succeeded", why(shown)
    assert [a["state"] for a in steps_of(shown)["sleep"]["attempts"]] == ["cancelled", "succeeded"]
    assert_gone(tmp_path)


STUBBORN = """
pipeline: stubborn
steps:
  a:
    env: {NOTED: "%s"}
    run: |
      trap 'echo asked >> "$NOTED/asked"' TERM
      echo $$ > "$NOTED/main.pid"
      while :; do sleep 0.1 || true; done  # the sleep is asked, too
finally:
  clean: {run: "true"}
"""


def test_what_does_not_heed_a_cancel_is_killed_by_force(cluster: Cluster, tmp_path: Path) -> None:
    cluster.start()
    cluster.apply(HEADER + STUBBORN % tmp_path)
    run = cluster.run("stubborn")
    wait_until(lambda: (tmp_path / "main.pid").exists(), what="the step to run")
    cluster.client.cancel(run, how={"grace": 3600})
    wait_until(lambda: (tmp_path / "asked").exists(), what="the step to be asked")
    assert cluster.show(run)["state"] == "cancelling"
    cluster.client.cancel(run, "it hangs", {"force": True})
    shown = cluster.wait(run)
    steps = steps_of(shown)
    assert (shown["state"], steps["a"]["state"]) == ("cancelled", "cancelled"), why(shown)
    assert (steps["clean"]["state"], steps["clean"]["attempts"]) == ("cancelled", [])
    assert_gone(tmp_path)
