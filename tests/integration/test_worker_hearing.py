"""A worker keeps hearing its broker, whatever happens between them; a deaf one ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from kombu import Queue

from headway.broker_options import declaration, is_redis
from headway.protocol.messages import Outcome
from headway_worker.main import DEAF_STATUS
from headway_worker.voice import BrokerVoice
from tests.integration.brokers import Broker, through
from tests.integration.worker_site import QUEUE, Events, Site, ended_with
from tests.servers import rabbitmq
from tests.servers.processes import Child, Processes
from tests.servers.proxy import FaultProxy
from tests.servers.sources import missing, temporary_folder
from tests.servers.waiting import wait_until
from tests.unit.worker.double import TOKEN, Double

CUTS = 20 if os.environ.get("LONG") == "1" else 5
# Stops to consume, as a client can after a reconnect: the connection, the thread and the heartbeats
# go on. Once: what connects anew is as it should be.
DEAF = """
import sys
from pathlib import Path
from headway_worker.broker.{broker}_source import {source} as Source

folder = Path({folder!r})
taking, forgetful = Source.take, []

def take(self, room):
    if (folder / "deaf").exists() and not forgetful:
        forgetful.append(self)
        {forgets}
    return taking(self, room)

Source.take = take
from headway_worker.command import start
sys.exit(start({{"slots": 2, "classes": ("small",)}}))
"""
ALL = {
    "redis": "self._queues.clear(); self._probe = 'of-nobody'",
    "rabbit": "[self._channel.basic_cancel(tag) for tag in list(self._channel.callbacks)]",
}
STEPS = {
    "redis": "self._queues.clear()",
    "rabbit": "[self._channel.basic_cancel(tag) for tag in self._tags]",
}


@pytest.mark.timeout(60 + 60 * CUTS)
def test_a_broker_that_is_cut_off_and_back_is_heard_again(site: Site, proxy: FaultProxy) -> None:
    worker = site.worker(HEADWAY_BROKER_URL=through(site.url, proxy), HEADWAY_DEAF_AFTER="30")
    site.run("before-1-1", "true")
    site.ended("before-1-1")
    for number in range(CUTS):
        count, gate = site.folder / f"count{number}", site.folder / f"gate{number}"
        running = f"running-{number}-1"
        site.run(running, f"echo x >> {count}; while [ ! -e {gate} ]; do sleep 0.02; done")
        wait_until(count.exists)
        proxy.cut()
        site.run(f"meanwhile-{number}-1", "true")
        gate.touch()
        assert site.ended(running).outcome is Outcome.SUCCEEDED, "reported although it was cut off"
        proxy.restore()
        # What a cut connection held may be lost: the coordinator would ring again.
        site.run(f"after-{number}-1", "true")
        assert site.ended(f"after-{number}-1").outcome is Outcome.SUCCEEDED
        site.ended(f"meanwhile-{number}-1")
        assert count.read_text() == "x\n"
    assert worker.running


def deafened(site: Site, forgets: Mapping[str, str]) -> Child:
    """Return a worker whose listener does `forgets` once the file `deaf` is there."""
    broker, source = ("redis", "RedisSource") if is_redis(site.url) else ("rabbit", "RabbitSource")
    program = DEAF.format(
        folder=str(site.folder), broker=broker, source=source, forgets=forgets[broker]
    )
    child = site.processes.start(
        [sys.executable, "-c", program],
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("HEADWAY_")},
            "HEADWAY_BROKER_URL": site.url,
            "HEADWAY_API_URL": site.double.url,
            "HEADWAY_TOKEN": TOKEN,
            "HEADWAY_STATE_DIR": str(site.folder / "state"),
            "HEADWAY_DEAF_AFTER": "3",
        },
        cwd=site.folder,
    )
    child.wait_for(lambda: site.double.boots, what="registration")
    return child


def test_a_deaf_worker_finishes_its_step_and_ends_for_its_supervisor(
    site: Site, broker: Broker, double: Double
) -> None:
    events = Events(broker.url, double)
    try:
        worker = deafened(site, ALL)
        gate = site.folder / "gate"
        site.run("a-1-1", f"while [ ! -e {gate} ]; do sleep 0.02; done")
        site.double.wait(lambda: "a-1-1" in site.double.claims)
        (site.folder / "deaf").touch()
        worker.wait_for_output('"deaf"')
        gate.touch()
        assert ended_with(worker) == DEAF_STATUS
        assert site.ended("a-1-1").outcome is Outcome.SUCCEEDED
    finally:
        events.close()


@pytest.mark.parametrize(
    ("broker", "told_by"),
    [("rabbitmq", "broker"), ("rabbitmq", "coordinator"), ("redis", "coordinator")],
    indirect=["broker"],
)
def test_a_worker_that_does_not_hear_its_steps_alone_connects_anew(
    site: Site, told_by: str
) -> None:
    """Its own queue is heard all the time. RabbitMQ forgets a consumer without a word when a queue
    is deleted and declared anew at the same moment."""
    worker = deafened(site, STEPS)
    gate = site.folder / "gate"
    site.run("a-1-1", f"while [ ! -e {gate} ]; do sleep 0.02; done")
    site.double.wait(lambda: "a-1-1" in site.double.claims)
    (site.folder / "deaf").touch()
    if told_by == "coordinator":
        site.double.unheard = [QUEUE, "analytics.of-others"]
    else:
        gate.touch()  # RabbitMQ counts who has cancelled as long as a message of theirs is out
    worker.wait_for_output('"queues_unheard"')
    site.double.unheard = []
    site.run("b-1-1", "true")
    assert site.ended("b-1-1").outcome is Outcome.SUCCEEDED
    gate.touch()
    assert site.ended("a-1-1").outcome is Outcome.SUCCEEDED
    assert site.double.claims.count("a-1-1") == 1
    assert worker.running


@pytest.mark.parametrize("broker", ["rabbitmq"], indirect=True)
def test_the_broker_tells_which_queues_nobody_consumes(broker: Broker) -> None:
    voice = BrokerVoice(broker.url, "headway.probe.w")
    with broker.connection() as connection:
        queues = [Queue(**declaration(name)) for name in ("demo.a", "demo.b")]
        consumer = connection.Consumer(queues, callbacks=[lambda body, message: None])
        consumer.consume()
        assert voice.forsaken(["demo.a", "demo.b", "demo.new"]) == ["demo.new"]
        consumer.cancel_by_queue("demo.b")
        assert voice.forsaken(["demo.a", "demo.b"]) == ["demo.b"]
    voice.close()


def test_a_worker_that_is_fully_used_is_not_taken_for_deaf(site: Site) -> None:
    worker = site.worker(slots=1, HEADWAY_DEAF_AFTER="1")
    gate = site.folder / "gate"
    site.run("a-1-1", f"while [ ! -e {gate} ]; do sleep 0.02; done")
    site.double.wait(lambda: "a-1-1" in site.double.claims)
    beats = len(site.double.heartbeats)
    site.double.wait(lambda: len(site.double.heartbeats) > beats + 15)
    assert worker.running
    gate.touch()
    site.run("b-1-1", "true")
    assert site.ended("b-1-1").outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("broker", ["rabbitmq"], indirect=True)
def test_more_deliveries_than_slots_wait_where_a_free_worker_finds_them(
    site: Site, double: Double, broker: Broker
) -> None:
    """RabbitMQ grants each queue of a worker its own allowance."""
    first = site.worker("--class", "io", slots=1)
    gate = site.folder / "gate"
    site.run("a-1-1", f"while [ ! -e {gate} ]; do sleep 0.02; done")
    site.double.wait(lambda: "a-1-1" in site.double.claims)
    double.add("b-1-1", do="true")
    site.dispatch("b-1-1", queue="analytics.io")
    first.wait_for_output("deliveries_returned")
    site.worker("--class", "io", slots=1, HEADWAY_STATE_DIR=str(site.folder / "other"))
    assert site.ended("b-1-1").outcome is Outcome.SUCCEEDED
    gate.touch()
    assert site.ended("a-1-1").outcome is Outcome.SUCCEEDED
    for number in range(3):
        double.add(f"c-{number}-1", do="true")
        site.dispatch(f"c-{number}-1", queue="analytics.io")
        assert site.ended(f"c-{number}-1").outcome is Outcome.SUCCEEDED


@pytest.fixture
def impatient() -> Iterator[str]:
    """A RabbitMQ that closes the channel of whoever does not acknowledge in time."""
    if not rabbitmq.installed():
        missing("RabbitMQ of our own", rabbitmq.HINT)
    seconds = 60 if os.environ.get("LONG") == "1" else 4
    settings = {"consumer_timeout": str(seconds * 1000)}
    with temporary_folder("rabbitmq") as folder:
        node = rabbitmq.Node(folder, settings, "-rabbit channel_tick_interval 1000")
        try:
            node.start()
            yield f"{node.url}/{node.hosts()[0]}"
        finally:
            node.close()


@pytest.mark.timeout(300)
def test_steps_longer_than_the_consumer_timeout_run_once_and_the_worker_goes_on(
    processes: Processes, impatient: str, double: Double, tmp_path: Path
) -> None:
    site = Site(processes, impatient, double, tmp_path)
    worker = site.worker(slots=2)
    gate = tmp_path / "gate"
    for name in ("long", "neighbour"):
        script = f"echo x >> {tmp_path / name}; while [ ! -e {gate} ]; do sleep 0.02; done"
        site.run(f"{name}-1-1", script)
        wait_until((tmp_path / name).exists)
    worker.wait_for_output("PRECONDITION_FAILED", within=120)
    site.run("next-1-1", "true")
    gate.touch()
    for name in ("long", "neighbour", "next"):
        assert site.ended(f"{name}-1-1").outcome is Outcome.SUCCEEDED
    assert [(tmp_path / name).read_text() for name in ("long", "neighbour")] == ["x\n"] * 2
    site.run("last-1-1", "true")
    assert site.ended("last-1-1").outcome is Outcome.SUCCEEDED
    os.kill(worker.pid, signal.SIGTERM)
    assert ended_with(worker) == 0
    processes.close()
