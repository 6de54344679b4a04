"""The real Flower beside a real worker: what it shows, whom it lets in, and what it cannot do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from headway.protocol.queues import is_probe_queue
from headway_coordinator.embedded import HEADWAY
from tests.integration.brokers import Broker
from tests.integration.cluster import Cluster
from tests.servers.processes import Child, listening
from tests.servers.sources import free_port
from tests.servers.waiting import wait_until

USER, PASSWORD = "looker", "only-this-test-knows-it"
WAITING = """\
headway: 1
pipeline: waiting
team: demo
owner: a@example.com
steps:
  holds: {{run: 'cat {fifo}', class: small}}
  waits: {{run: echo done, class: small}}
"""


@pytest.fixture
def broker(redis_database: str) -> Broker:
    """Redis alone: of RabbitMQ Flower reads the depths through the management plug-in."""
    return Broker(redis_database)


def step_queues(worker: dict[str, Any]) -> set[str]:
    """Return the queues that a worker consumes, without the one by which it hears itself."""
    return {q["name"] for q in worker["active_queues"] if not is_probe_queue(q["name"])}


class Flower:
    """A started Flower, and a browser that is signed in."""

    def __init__(self, cluster: Cluster) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.child: Child = cluster.processes.start(
            [*HEADWAY, "flower"],
            name="flower",
            env=cluster.environment(
                HEADWAY_FLOWER_AUTH=f"{USER}:{PASSWORD}",
                HEADWAY_FLOWER_LISTEN=self.url.removeprefix("http://"),
                # What somebody may have left in the environment opens nothing.
                FLOWER_UNAUTHENTICATED_API="true",
                FLOWER_READ_ONLY="false",
            ),
            cwd=cluster.folder,
        )
        self.browser = httpx2.Client(base_url=self.url, auth=(USER, PASSWORD), timeout=30)
        self.child.wait_for(self._is_up, what="Flower's page")

    def _is_up(self) -> bool:
        try:
            return self.browser.get("/healthcheck").status_code == httpx2.codes.OK
        except httpx2.TransportError:
            return False

    def workers(self) -> dict[str, Any]:
        """Return what every worker answers when Flower asks it now."""
        answer = self.browser.get("/api/workers", params={"refresh": "1"})
        assert answer.status_code == httpx2.codes.OK, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    def close(self) -> None:
        self.browser.close()


@pytest.fixture
def flower(cluster: Cluster) -> Iterator[Flower]:
    """Flower beside one worker of team demo with two classes."""
    cluster.start_api()
    cluster.start_worker("demo", ("small", "io"))
    started = Flower(cluster)
    yield started
    started.close()


def test_it_shows_the_worker_and_its_queues(flower: Flower, cluster: Cluster) -> None:
    [worker] = wait_until(lambda: cluster.storage.workers.all(), what="a registered worker")
    [(name, shown)] = wait_until(flower.workers, what="an answer of the worker").items()
    assert name.startswith(worker.worker)
    assert step_queues(shown) == {"demo.small", "demo.io"}
    assert shown["stats"]["pool"]["max-concurrency"] == 4

    def on_the_page() -> bool:  # with the worker's next heartbeat
        return name in flower.browser.get("/workers").text

    wait_until(on_the_page, what="the worker on Flower's page")
    single = flower.browser.get(f"/worker/{name}").text
    assert "demo.small" in single
    assert "demo.io" in single


def test_it_counts_what_waits_in_each_queue(cluster: Cluster, tmp_path: Path) -> None:
    cluster.start_api()
    cluster.start_engine()
    cluster.start_worker("demo", ("small",), slots=1)
    flower = Flower(cluster)
    wait_until(flower.workers, what="an answer of the worker")

    def depths() -> list[dict[str, Any]]:
        shown: list[dict[str, Any]] = flower.browser.get("/api/queues/length").json()[
            "active_queues"
        ]
        return [queue for queue in shown if not is_probe_queue(queue["name"])]

    assert depths() == [{"name": "demo.small", "messages": 0}]
    # The only slot is held until somebody writes; so the other step's bell stays where it is.
    os.mkfifo(tmp_path / "fifo")
    cluster.apply(WAITING.format(fifo=tmp_path / "fifo"))
    run = cluster.run("waiting")
    cluster.wait_step(run, "holds", "running")
    cluster.wait_step(run, "waits", "dispatched")
    wait_until(lambda: depths() == [{"name": "demo.small", "messages": 1}], what="the message")
    (tmp_path / "fifo").write_text("go on\n")
    assert cluster.wait(run)["state"] == "succeeded"
    flower.close()


def test_nobody_looks_without_the_password(flower: Flower) -> None:
    wait_until(flower.workers, what="an answer of the worker")
    answers = [
        httpx2.get(f"{flower.url}{path}", auth=auth)
        for path in ("/", "/workers", "/tasks", "/broker", "/api/workers", "/api/queues/length")
        for auth in (None, (USER, "wrong"), ("", ""))
    ]
    assert {each.status_code for each in answers} == {httpx2.codes.UNAUTHORIZED}
    assert not [each.text for each in answers if "demo" in each.text]


def test_it_changes_nothing(flower: Flower) -> None:
    [name] = wait_until(flower.workers, what="an answer of the worker")
    refused = [
        flower.browser.post(path, params={"queue": "demo.other"})
        for path in (
            f"/api/worker/shutdown/{name}",
            f"/api/worker/queue/cancel-consumer/{name}",
            f"/api/worker/queue/add-consumer/{name}",
            "/api/task/async-apply/headway.execute",
        )
    ]
    assert {each.status_code for each in refused} == {httpx2.codes.FORBIDDEN}
    assert step_queues(flower.workers()[name]) == {"demo.small", "demo.io"}


def test_it_listens_on_loopback_and_shows_its_password_to_nobody(flower: Flower) -> None:
    process = psutil.Process(flower.child.pid)
    assert set(listening(process)) == {"127.0.0.1"}
    assert PASSWORD not in " ".join(process.cmdline())
    assert PASSWORD not in flower.child.output()
