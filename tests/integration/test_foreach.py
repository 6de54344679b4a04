"""Steps that run once for each item, on real processes, whoever dies meanwhile."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.integration.cluster import Cluster, steps_of
from tests.servers.waiting import wait_until

SPREAD = """\
headway: 1
team: demo
owner: demo@example.com
pipeline: spread
params: {{n: {{type: int}}, bad: {{type: int, default: -1}}}}
steps:
  list:
    run: >-
      python3 -c "import json, os; n = int(os.environ['N']);
      print(json.dumps({{'parts': [dict(name='part %d' % i) for i in range(n)]}}))"
      > "$HEADWAY_OUTPUT"
    env: {{N: "${{{{ params.n }}}}"}}
    outputs: {{parts: list}}
  each:
    needs: [list]
    foreach: "${{{{ steps.list.outputs.parts }}}}"
    env: {{PART: "${{{{ item.name }}}}", INDEX: "${{{{ index }}}}", BAD: "${{{{ params.bad }}}}"}}
    run: |
      echo "$PART of $HEADWAY_STEP"
      echo "$HEADWAY_RUN $INDEX" >> {log}
      test "$INDEX" != "$BAD" || test -e {mended}
      echo "size=$INDEX" > "$HEADWAY_OUTPUT"
      echo "$PART" > "$HEADWAY_WORKDIR/part.txt"
    outputs: {{size: int}}
    artifacts: [part.txt]
  total:
    needs: [each]
    env: {{SIZES: "${{{{ steps.each.outputs.map(o, o.size) }}}}"}}
    run: |
      find "$HEADWAY_INPUTS/parts" -type f | wc -l
      printf '{{"sizes": %s}}' "$SIZES" > "$HEADWAY_OUTPUT"
    inputs: {{parts: "${{{{ steps.each.artifacts }}}}"}}
    outputs: {{sizes: list}}
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def spread(cluster: Cluster, tmp_path: Path, log: Path) -> Cluster:
    cluster.start()
    cluster.apply(SPREAD.format(log=log, mended=tmp_path / "mended"))
    return cluster


def performed(log: Path) -> Counter[str]:
    """Return how often each item's command has run."""
    return Counter(line.split()[1] for line in log.read_text().splitlines())


def test_items_known_at_run_time_come_together_again(spread: Cluster, log: Path) -> None:
    run = spread.run("spread", n=7)
    shown = spread.wait(run)
    assert shown["state"] == "succeeded"
    steps = steps_of(shown)
    assert steps["total"]["outputs"] == {"sizes": list(range(7))}
    assert (steps["each"]["items"], steps["each"]["children"]) == (7, {"succeeded": 7})
    assert performed(log) == {str(index): 1 for index in range(7)}
    assert spread.client.logs(run, step="each[3]")[0] == b"part 3 of each[3]\n"
    assert spread.client.logs(run, step="total")[0].strip() == b"7"
    assert b"".join(spread.client.artifact(run, "each", "5/part.txt")) == b"part 5\n"
    assert b"".join(spread.client.artifact(run, "each[6]", "part.txt")) == b"part 6\n"


@pytest.mark.slow
def test_a_leader_and_a_worker_are_killed_among_many_items(spread: Cluster, log: Path) -> None:
    run = spread.run("spread", n=60)
    wait_until(lambda: log.exists() and len(performed(log)) > 5, what="the first items")
    spread.children["engine"].kill()
    spread.start_engine("second")
    wait_until(lambda: len(performed(log)) > 25, what="more items")
    spread.children["worker"].kill()
    spread.start_worker()
    shown = spread.wait(run, within=90)
    assert shown["state"] == "succeeded"
    assert steps_of(shown)["total"]["outputs"] == {"sizes": list(range(60))}
    done = performed(log)
    assert set(done) == {str(index) for index in range(60)}
    lost = [s for s in shown["steps"] if any(a["state"] == "lost" for a in s["attempts"])]
    assert sum(done.values()) - 60 <= len(lost), "only what was lost ran again"


def test_a_retry_runs_the_items_that_failed(spread: Cluster, log: Path, tmp_path: Path) -> None:
    run = spread.run("spread", n=5, bad=2)
    shown = spread.wait(run)
    assert shown["state"] == "failed"
    assert steps_of(shown)["each"]["error"]["message"] == "1 of 5 items failed: each[2]"
    assert steps_of(shown)["total"]["state"] == "upstream_failed"
    (tmp_path / "mended").touch()
    spread.client.retry(run)
    wait_until(lambda: spread.show(run)["state"] == "succeeded", what="the end after the retry")
    assert performed(log) == {"0": 1, "1": 1, "2": 2, "3": 1, "4": 1}
    assert steps_of(spread.show(run))["total"]["outputs"] == {"sizes": list(range(5))}


def test_a_cancelled_run_stops_among_its_items(spread: Cluster, log: Path) -> None:
    run = spread.run("spread", n=400)
    wait_until(lambda: log.exists() and len(performed(log)) > 5, what="the first items")
    spread.client.cancel(run)
    shown = spread.wait(run)
    assert shown["state"] == "cancelled"
    assert steps_of(shown)["each"]["state"] == "cancelled"
    assert len(performed(log)) < 400


def test_items_wait_while_their_run_is_paused_and_run_again_once_cleared(
    spread: Cluster, log: Path
) -> None:
    run = spread.run("spread", n=40)
    wait_until(lambda: log.exists() and len(performed(log)) > 2, what="the first items")
    ask = spread.client.ask_run
    ask(run, "pause", {"reason": "the source is broken"})

    def children() -> dict[str, int]:
        return dict(steps_of(spread.show(run))["each"]["children"])

    wait_until(
        lambda: spread.show(run)["state"] == "paused" and "running" not in children(),
        what="the end of the items that ran",
    )
    before = performed(log)
    assert len(before) < 40
    assert steps_of(spread.show(run))["each"]["state"] == "running"
    ask(run, "clear", {"steps": ["each"]})
    wait_until(lambda: set(children()) == {"pending"}, what="that the items are cleared")
    ask(run, "resume", {})
    shown = spread.wait(run)
    assert shown["state"] == "succeeded"
    assert performed(log) == {str(i): before.get(str(i), 0) + 1 for i in range(40)}
    ask(run, "mark", {"steps": ["each"], "state": "skipped", "reason": "by hand"})
    wait_until(lambda: steps_of(spread.show(run))["each"]["state"] == "skipped", what="the mark")
    assert spread.wait(run)["state"] == "succeeded"
