"""Somebody deletes a team's queue under a running worker: no step is lost, and the worker stays."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from kombu import Queue

from headway.broker_options import declaration, is_redis
from tests.integration.brokers import Broker
from tests.integration.cluster import Cluster, steps_of
from tests.servers.waiting import wait_until

QUEUE = "demo.default"
PIPELINE = """\
headway: 1
team: demo
owner: demo@example.com
pipeline: waiting
steps:
  a: {{run: 'echo a >> {log}; until test -e {gate}; do sleep 0.02; done'}}
  b: {{run: 'echo b >> {log}'}}
  c: {{run: 'echo c >> {log}'}}
  d: {{needs: [a], run: 'echo d >> {log}'}}
"""


def delete(broker: Broker) -> None:
    with broker.connection() as connection:
        channel: Any = connection.default_channel
        channel.queue_delete(QUEUE)


def redeclare(broker: Broker) -> None:
    """Delete the queue while somebody declares it all the time, as worker and leader do.

    On RabbitMQ once: a second deletion may leave a member of the queue behind that nobody can
    remove by AMQP, and then the server refuses every declaration of that name, whoever asks
    (https://github.com/rabbitmq/rabbitmq-server/issues/17457).
    """
    ended = threading.Event()

    def declare() -> None:
        while not ended.is_set():
            try:
                with broker.connection() as connection:
                    Queue(**declaration(QUEUE))(connection.default_channel).declare()
            except Exception:  # RabbitMQ answers oddly while it deletes; another try follows
                continue

    declaring = threading.Thread(target=declare)
    declaring.start()
    try:
        for _ in range(10 if is_redis(broker.url) else 1):
            delete(broker)
    finally:
        ended.set()
        declaring.join()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("strike", [delete, redeclare])
def test_steps_whose_queue_is_deleted_run_once_and_the_worker_goes_on(
    cluster: Cluster, broker: Broker, tmp_path: Path, strike: Any
) -> None:
    log, gate = tmp_path / "log", tmp_path / "gate"
    cluster.start_api()
    cluster.start_engine()
    # It looks every 2.5 s: on RabbitMQ a worker may have to notice what nobody tells it.
    worker = cluster.start_worker(slots=1, HEADWAY_DEAF_AFTER="15")
    cluster.apply(PIPELINE.format(log=log, gate=gate))
    run = cluster.run("waiting")
    wait_until(lambda: log.exists() and "a" in log.read_text(), what="the first step's start")
    cluster.wait_step(run, "b", "dispatched")
    strike(broker)
    gate.touch()
    shown = cluster.wait(run, within=120)
    assert shown["state"] == "succeeded"
    assert {name: len(step["attempts"]) for name, step in steps_of(shown).items()} == dict.fromkeys(
        "abcd", 1
    )
    assert sorted(log.read_text().split()) == ["a", "b", "c", "d"], "each ran once"
    assert worker.running
    # It goes on: what is rung only now is heard.
    assert cluster.wait(cluster.run("waiting"), within=60)["state"] == "succeeded"
    assert worker.stop() == 0
