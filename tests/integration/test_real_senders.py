"""Alertmanager and a registry themselves at a running Headway, set up as the documents say."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from headway_coordinator.application.trigger_ports import EventFilter
from tests.integration.brokers import Broker
from tests.integration.cluster import Cluster
from tests.integration.process_trees import HEADER
from tests.integration.test_triggers import ended, runs_of
from tests.servers.alertmanager import Alertmanager
from tests.servers.debian import Program
from tests.servers.docker_registry import Registry
from tests.servers.processes import Processes

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[2] / "docs" / "triggers.md"
SECRET = "only-this-test-knows-it"
ALERTS = """
pipeline: alerts
params: &said {what: {type: string}, instance: {type: string}, severity: {type: string}}
triggers:
  - {name: fires, webhook: {source: alertmanager, event: firing, secret: "secret://hook"},
     params: &said {what: "${{ event.name }}",
                    instance: "${{ event.data.payload.labels.instance }}",
                    severity: "${{ event.data.payload.labels.severity }}"}}
  - {name: ends, webhook: {source: alertmanager, event: resolved, secret: "secret://hook"},
     params: *said}
steps: {look: {run: "true"}}
"""
IMAGES = """
pipeline: images
params: {image: {type: string}, tag: {type: string}, digest: {type: string}}
triggers:
  - webhook: {source: docker-registry, event: push, secret: "secret://hook"}
    params: {image: "${{ event.data.repository }}", tag: "${{ event.data.artifact.version }}",
             digest: "${{ event.data.artifact.digest }}"}
steps: {scan: {run: "true"}}
"""


@pytest.fixture
def broker(redis_database: str) -> Broker:
    """One broker is enough: senders do not see it."""
    return Broker(redis_database)


def documented(source: str, cluster: Cluster, hook: str) -> Any:
    """Return the set-up that the documents give for the source, with this test's own words."""
    [text] = re.findall(
        rf"^\*\*{source}\*\*: .*?^```yaml\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    here = text.replace("https://headway.example.com", cluster.api_url)
    return yaml.safe_load(here.replace("daily-sales", hook).replace("SECRET", SECRET))


def kept(cluster: Cluster, source: str) -> list[dict[str, Any]]:
    """Return every event of the source's hook, the oldest first."""
    rows, _ = cluster.storage.events.listing(EventFilter(None, 100))
    own = [row for row in rows if row["subject"].startswith(f"{source}/")]
    found = [cluster.storage.events.get(row["id"]) for row in reversed(own)]
    return [dict(each.event) for each in found if each is not None]


def params_of_runs(cluster: Cluster, pipeline: str) -> list[dict[str, Any]]:
    return [cluster.show(row["id"])["params"] for row in runs_of(cluster, pipeline)]


def labels(instance: str) -> dict[str, str]:
    return {"alertname": "Late", "instance": instance, "severity": "page"}


def wait_repeated(server: Alertmanager, times: int) -> None:
    """Wait until so many notifications more have gone out."""
    until = server.notified() + times
    server.child.wait_for(lambda: server.notified() >= until, what="a repeated notification")


def said(what: str, instance: str) -> dict[str, str]:
    return {"what": what, "instance": instance, "severity": "page"}


def test_each_alert_of_a_real_alertmanager_starts_one_run_however_often_its_group_is_sent(
    cluster: Cluster, processes: Processes, alertmanager_program: Program, tmp_path: Path
) -> None:
    cluster.start()
    cluster.apply(HEADER + ALERTS)
    cluster.client.put_secret("hook", SECRET, team="demo")
    receivers = documented("alertmanager", cluster, "alerts")["receivers"]
    folder = tmp_path / "alertmanager"
    server = Alertmanager.started(processes, alertmanager_program, folder, receivers)

    server.post(labels("w1"))
    ended(cluster, "alerts", 1)
    wait_repeated(server, 2)
    assert params_of_runs(cluster, "alerts") == [said("firing", "w1")]

    # The group is now sent with two alerts, of which one is new.
    server.post(labels("w2"))
    ended(cluster, "alerts", 2)
    wait_repeated(server, 2)
    server.post(labels("w1"), ends_at=datetime.now(UTC) - timedelta(seconds=1))
    ended(cluster, "alerts", 3)
    wait_repeated(server, 2)

    events = kept(cluster, "alertmanager")
    told = [(e["name"], e["data"]["payload"]["labels"]["instance"]) for e in events]
    assert told == [("firing", "w1"), ("firing", "w2"), ("resolved", "w1")]
    assert {e["data"]["group"]["labels"]["alertname"] for e in events} == {"Late"}
    runs = sorted(params_of_runs(cluster, "alerts"), key=lambda each: sorted(each.values()))
    assert runs == [said("firing", "w1"), said("firing", "w2"), said("resolved", "w1")]
    assert server.failed() == 0


def test_a_push_to_a_real_registry_starts_one_run_also_when_the_api_was_away(
    cluster: Cluster, processes: Processes, registry_program: Program, tmp_path: Path
) -> None:
    cluster.start()
    cluster.apply(HEADER + IMAGES)
    cluster.client.put_secret("hook", SECRET, team="demo")
    notifications = documented("docker-registry", cluster, "images")["notifications"]
    for endpoint in notifications["endpoints"]:
        endpoint |= {"timeout": "5s", "threshold": 2, "backoff": "200ms"}
    folder = tmp_path / "registry"
    server = Registry.started(processes, registry_program, folder, notifications)

    first = server.push("team/app", "v1", b"one layer")
    ended(cluster, "images", 1)
    assert cluster.children["api"].stop() == 0
    second = server.push("team/app", "v2", b"another layer")
    server.child.wait_for_output("error writing events")
    assert len(runs_of(cluster, "images")) == 1
    cluster.start_api()
    ended(cluster, "images", 2)
    server.pull("team/app", "v2")
    third = server.push("team/app", "v3", b"a third layer")  # what came before it is through
    ended(cluster, "images", 3)

    pushed = [("v1", first), ("v2", second), ("v3", third)]
    events = kept(cluster, "docker-registry")
    artifacts = [(event["name"], event["data"]["artifact"]) for event in events]
    told = [(name, each["version"], each["digest"]) for name, each in artifacts]
    pulled = ("pull", "v2", second)
    assert told == [*(("push", *each) for each in pushed[:2]), pulled, ("push", "v3", third)]
    assert {event["data"]["repository"] for event in events} == {"team/app"}
    assert {event["subject"] for event in events} == {f"team/app:{tag}" for tag, _ in pushed}
    runs = sorted(params_of_runs(cluster, "images"), key=lambda each: str(each["tag"]))
    assert runs == [{"image": "team/app", "tag": tag, "digest": made} for tag, made in pushed]
