"""`headway doctor` on a cluster with a real RabbitMQ."""

from __future__ import annotations

import pytest

from headway_coordinator.examination import examine_broker
from tests.integration.brokers import Broker
from tests.integration.cluster import Cluster
from tests.integration.test_doctor import LONELY, Doctor
from tests.servers.sources import free_port
from tests.servers.waiting import wait_until


@pytest.fixture
def broker(rabbitmq_vhost: str) -> Broker:
    return Broker(rabbitmq_vhost)


@pytest.fixture
def doctor(cluster: Cluster) -> Doctor:
    return Doctor(cluster)


def make_classic(broker: Broker, queue: str) -> None:
    """Make a queue as other programs would: of RabbitMQ's default kind."""
    with broker.connection() as connection:
        connection.default_channel.queue_declare(queue, durable=True, auto_delete=False)


def test_a_whole_cluster_and_what_rabbitmq_does_not_tell(cluster: Cluster, doctor: Doctor) -> None:
    cluster.start()
    wait_until(cluster.leader, what="a leader")
    cluster.apply(LONELY.replace("gpu", "default"))
    assert cluster.wait(cluster.run("lonely"))["state"] == "succeeded"
    _, found = doctor()
    told = {check: row["status"] for (check, _), row in found.items() if "broker" in check}
    assert told == {
        "broker.reachable": "fine",
        "broker.version": "fine",
        "broker.memory": "fine",
        "broker.queues": "fine",
        "broker.consumer_timeout": "unknown",
        "broker.persistence": "unknown",
    }
    assert "RabbitMQ" in found["broker.reachable", None]["message"]
    mend = found["broker.consumer_timeout", None]["mend"]
    assert mend.startswith("rabbitmqctl environment | grep consumer_timeout")
    assert {found[check, None]["status"] for check in ("queues.served", "workers.hearing")} == {
        "fine"
    }


def test_a_queue_of_another_kind_and_no_worker(
    cluster: Cluster, doctor: Doctor, broker: Broker
) -> None:
    make_classic(broker, "demo.gpu")
    cluster.start()
    cluster.apply(LONELY)
    cluster.wait_step(cluster.run("lonely"), "alone", "ready")
    status, found = doctor()
    assert status == 1
    queue = found["broker.queues", "demo.gpu"]
    assert queue["status"] == "wrong"
    assert "x-queue-type" in queue["message"]
    host = broker.url.rpartition("/")[2]
    assert queue["mend"].startswith(f"rabbitmqctl -p {host} delete_queue demo.gpu; ")
    served = found["queues.served", "demo.gpu"]
    assert (served["status"], served["mend"]) == (
        "wrong",
        "headway worker --team demo --class gpu",
    )


def test_the_events_queue_of_another_kind_is_seen_without_a_coordinator(broker: Broker) -> None:
    make_classic(broker, "headway.events")
    found = [each for each in examine_broker(broker.url) if each.check == "broker.queues"]
    assert [(each.subject, each.status) for each in found] == [("headway.events", "wrong")]


def test_looking_makes_no_queue(broker: Broker) -> None:
    for _ in range(2):
        [found] = [
            each
            for each in examine_broker(broker.url, lambda: ["demo.gpu"])
            if each.check == "broker.queues"
        ]
        assert found.status == "fine"
    make_classic(broker, "demo.gpu")  # of which a quorum queue that is there would complain


def test_a_rabbitmq_that_is_away() -> None:
    [found] = examine_broker(f"amqp://guest:guest@127.0.0.1:{free_port()}/")
    assert (found.check, found.status) == ("broker.reachable", "wrong")
