"""Events on real processes: exactly one run each, whoever dies and however often they come."""

from __future__ import annotations

import hashlib
import hmac
import json
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx2

from headway_coordinator.application.ports import RunFilter
from headway_coordinator.application.trigger_ports import EventFilter
from tests.integration.cluster import Cluster
from tests.integration.process_trees import HEADER, why
from tests.servers.proxy import FaultProxy
from tests.servers.waiting import wait_until

SECRET = "a secret of this test alone"
HEARING = """
pipeline: hearing
params: {who: {type: string}}
triggers:
  - webhook: {source: generic, name: shop, secret: "secret://shop-hook"}
    params: {who: "${{ event.data.payload.who }}"}
steps: {greet: {run: "echo hello $WHO", env: {WHO: "${{ params.who }}"}}}
"""


def hook(cluster: Cluster, who: str, delivery: str) -> httpx2.Response:
    """Send a signed delivery, as a script of the shop would."""
    body = json.dumps({"type": "com.example.order", "who": who}).encode()
    mac = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-Headway-Signature": f"sha256={mac}",
        "X-Headway-Delivery": delivery,
    }
    url = f"{cluster.api_url}/api/v1/hooks/generic/shop"
    return httpx2.post(url, content=body, headers=headers, timeout=30)


def hearing(cluster: Cluster) -> None:
    cluster.apply(HEADER + HEARING)
    cluster.client.put_secret("shop-hook", SECRET, team="demo")


def runs_of(cluster: Cluster, pipeline: str) -> list[dict[str, Any]]:
    rows, _ = cluster.storage.queries.runs(RunFilter(None, pipeline, (), 500, None))
    return rows


def ended(cluster: Cluster, pipeline: str, count: int) -> list[dict[str, Any]]:
    def found() -> list[dict[str, Any]] | None:
        rows = runs_of(cluster, pipeline)
        done = [row for row in rows if row["finished_at"] is not None]
        return rows if len(done) == len(rows) >= count else None

    return wait_until(found, within=60, what=f"{count} ended runs of {pipeline}")


def test_a_webhook_starts_a_run_and_twenty_at_once_start_no_second(cluster: Cluster) -> None:
    cluster.start()
    hearing(cluster)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: hook(cluster, "ann", "d-1"), range(20)))
    assert {answer.status_code for answer in answers} <= {200, 202}
    assert len({answer.json()["events"][0]["id"] for answer in answers}) == 1
    assert sum(answer.json()["events"][0]["created"] for answer in answers) == 1
    [run] = ended(cluster, "hearing", 1)
    shown = cluster.show(run["id"])
    assert shown["state"] == "succeeded", why(shown)
    assert shown["params"] == {"who": "ann"}
    assert shown["origin"]["trigger"] == "webhook"
    assert hook(cluster, "ann", "d-1").status_code == 200


def test_events_that_came_while_nobody_led_start_their_runs(cluster: Cluster) -> None:
    cluster.start_api()
    cluster.start_worker()
    hearing(cluster)
    for number in range(30):
        assert hook(cluster, f"n{number}", f"d-{number}").status_code == 202
    first = cluster.start_engine("first")
    # It dies somewhere in the middle of deciding and of advancing; the next one goes on.
    wait_until(lambda: runs_of(cluster, "hearing"), what="a first run")
    first.kill()
    cluster.start_engine("second")
    rows = ended(cluster, "hearing", 30)
    assert {row["state"] for row in rows} == {"succeeded"}
    params = sorted(cluster.show(row["id"])["params"]["who"] for row in rows)
    assert params == sorted(f"n{number}" for number in range(30))


def test_a_schedule_keeps_every_tick_through_changes_of_the_leader(cluster: Cluster) -> None:
    cluster.start_api()
    cluster.start_worker()
    cluster.start_engine("first")
    wait_until(lambda: cluster.leader() == "first", what="a leader")
    cluster.apply(
        HEADER
        + """
pipeline: ticking
triggers: [{schedule: {every: 1s, missed: all}}]
steps: {tick: {run: "true"}}
"""
    )
    wait_until(lambda: len(runs_of(cluster, "ticking")) >= 2, within=30, what="two ticks")
    cluster.children["first"].kill()
    cluster.start_engine("second")
    wait_until(lambda: cluster.leader() == "second", within=30, what="another leader")
    before = len(runs_of(cluster, "ticking"))
    wait_until(lambda: len(runs_of(cluster, "ticking")) >= before + 3, within=30, what="more ticks")
    assert cluster.storage.triggers.pause("demo", "ticking", "schedule", actor="test")
    ended(cluster, "ticking", before)
    dates = sorted(cluster.show(row["id"])["logical_date"] for row in runs_of(cluster, "ticking"))
    seconds = [int(date[17:19]) + 60 * int(date[14:16]) for date in dates]
    gaps = {(later - former) % 3600 for former, later in pairwise(seconds)}
    assert gaps == {1}, dates


def test_runs_start_runs_by_their_ends_and_by_their_assets(cluster: Cluster) -> None:
    cluster.start()
    cluster.apply(
        HEADER
        + """
pipeline: after
triggers:
  - pipeline: {name: making, on: [succeeded, failed]}
    if: event.data.state == "succeeded"
  - asset: {all: ["demo:left", "demo:right"]}
steps: {then: {run: "true"}}
"""
    )
    cluster.apply(
        HEADER
        + """
pipeline: making
steps:
  left: {run: "true", produces: ["demo:left"]}
  right: {run: "true", produces: ["demo:right"]}
"""
    )
    run = cluster.run("making")
    cluster.wait(run)
    rows = ended(cluster, "after", 2)
    kinds = sorted(cluster.show(row["id"])["origin"]["kind"] for row in rows)
    assert kinds == ["asset", "pipeline"]


def test_a_database_that_is_away_is_said_so_and_nothing_is_half_done(
    cluster: Cluster, postgres_database: str
) -> None:
    parts = urlsplit(postgres_database)
    proxy = FaultProxy(parts.hostname or "127.0.0.1", parts.port or 5432)
    try:
        through = parts._replace(netloc=parts.netloc.rpartition("@")[0] + f"@{proxy.address}")
        cluster.start_api(HEADWAY_DATABASE_URL=urlunsplit(through))
        hearing(cluster)
        assert hook(cluster, "ann", "d-1").status_code == 202
        proxy.cut()
        refused = hook(cluster, "bob", "d-2")
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert refused.json()["code"] == "database_unavailable"
        proxy.restore()
        wait_until(lambda: hook(cluster, "bob", "d-2").status_code in (200, 202), what="an answer")
    finally:
        cluster.children["api"].kill()  # it would go on connecting while the proxy ends
        proxy.close()
    rows, _ = cluster.storage.events.listing(EventFilter(None, 10))
    assert len(rows) == 2
