"""Upstream systems publish to a team's queue with kombu's own means; each event is kept once."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from kombu import Connection, Exchange, Queue

from headway import crash_points
from headway.plan.digest import digest_of
from headway.protocol.queues import event_queue
from headway.spec import load
from headway_coordinator.application.hearing import Letter
from headway_coordinator.application.trigger_ports import EventFilter
from headway_coordinator.broker.upstream import BrokerLetters
from tests.architecture.repository import ROOT
from tests.contract.deciders import event_trigger
from tests.integration.brokers import Broker
from tests.integration.cluster import Cluster
from tests.integration.garbage import GARBAGE
from tests.servers.waiting import wait_until

QUEUE = event_queue("demo")


def publish(url: str, *ids: str, queue: str = QUEUE) -> None:
    """Publish CloudEvents as docs/events-by-broker.md says."""
    with Connection(url) as connection:
        declared = Queue(
            queue,
            Exchange(queue),
            routing_key=queue,
            durable=True,
            queue_arguments={"x-queue-type": "quorum"},
        )
        producer = connection.Producer()
        for id in ids:
            event = {"specversion": "1.0", "id": id, "source": "/t", "type": "com.example.file"}
            producer.publish(
                json.dumps(event),
                content_type="application/cloudevents+json",
                content_encoding="utf-8",
                exchange="",
                routing_key=queue,
                declare=[declared],
            )


def ids_of(letters: Sequence[Letter]) -> list[str]:
    assert {letter.content_type for letter in letters} <= {"application/cloudevents+json"}
    return [json.loads(letter.body)["id"] for letter in letters]


@pytest.fixture
def letters(broker: Broker) -> Iterator[BrokerLetters]:
    made = BrokerLetters(broker.url, ["demo", "other"])
    yield made
    made.close()


def read(letters: BrokerLetters, count: int) -> list[Letter]:
    """Return the next letters once there are so many."""
    found: list[Letter] = []

    def enough() -> bool:
        found.extend(letters.read(1.0))
        return len(found) >= count

    wait_until(enough, what=f"{count} letters")
    return found


def test_letters_stay_in_their_queue_until_they_are_done(broker: Broker) -> None:
    first = BrokerLetters(broker.url, ["demo"])
    publish(broker.url, "1", "2", "3")
    found = read(first, 3)
    assert ids_of(found) == ["1", "2", "3"]
    first.keep_alive()
    first.done(found[:1])
    first.close()  # as a process that dies does
    second = BrokerLetters(broker.url, ["demo"])
    again = read(second, 2)
    assert ids_of(again) == ["2", "3"]
    second.done(again)
    assert second.read(0.1) == []
    second.close()
    wait_until(lambda: broker.depth(QUEUE) == 0, what="an empty queue")


def test_a_reader_that_waits_hears_of_either_team(broker: Broker, letters: BrokerLetters) -> None:
    assert letters.read(0.1) == []
    publish(broker.url, "1", queue=event_queue("other"))
    publish(broker.url, "2")
    assert sorted((x.team, *ids_of([x])) for x in read(letters, 2)) == [
        ("demo", "2"),
        ("other", "1"),
    ]


@pytest.mark.parametrize("element", [element for element, _ in GARBAGE])
def test_garbage_in_a_list_is_read_and_removed(redis_database: str, element: bytes) -> None:
    letters = BrokerLetters(redis_database, ["demo"])
    with Connection(redis_database) as connection:
        client = connection.default_channel.client
        client.lpush(QUEUE, element)
        publish(redis_database, "1")
        found = read(letters, 2)
        assert ids_of(found[1:]) == ["1"]
        letters.done(found)
        assert client.llen(QUEUE) == 0
    letters.close()


def documented(language: str, word: str) -> str:
    """Return the block of the page that holds the word."""
    page = (ROOT / "docs" / "events-by-broker.md").read_text()
    blocks = page.split("```")[1::2]
    [found] = [b for b in blocks if b.startswith(f"{language}\n") and word in b]
    return found.removeprefix(language)


def test_what_the_page_shows_arrives(broker: Broker) -> None:
    letters = BrokerLetters(broker.url, ["analytics"])
    python = documented("python", "Producer").replace("redis://127.0.0.1:6379/0", broker.url)
    exec(compile(python, "events-by-broker.md", "exec"), {})
    assert ids_of(read(letters, 1)) == ["landed-2026-03-01"]
    letters.close()


def test_what_the_page_shows_for_a_shell_arrives(redis_database: str) -> None:
    letters = BrokerLetters(redis_database, ["analytics"])
    _, *command = shlex.split(documented("", "LPUSH"))
    with Connection(redis_database) as connection:
        connection.default_channel.client.execute_command(*command)
    [letter] = read(letters, 1)
    assert (letter.flaw, ids_of([letter])) == (None, ["1"])
    letters.close()


def listen(cluster: Cluster, team: str = "demo") -> None:
    """Store a pipeline whose trigger hears the events."""
    text = (
        f"headway: 1\npipeline: hearing\nteam: {team}\nowner: ann@example.com\n"
        'steps: {load: {run: "true"}}\n'
    )
    spec = load(text, "pipeline.yaml").spec
    assert spec is not None
    canonical = {**spec.canonical, "triggers": [event_trigger()]}
    cluster.storage.definitions.put(
        canonical=canonical, digest=digest_of(canonical), source=text, actor="ann"
    )


def kept(cluster: Cluster) -> list[dict[str, Any]]:
    """Return the events that are kept, with the decisions on them."""
    return cluster.storage.events.listing(EventFilter(None, 100))[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    ["upstream.acknowledge:before:1", "upstream.acknowledge:after:1", "events.add:before:1"],
)
def test_an_engine_that_dies_over_an_event_keeps_it_once(cluster: Cluster, point: str) -> None:
    listen(cluster)
    engine = cluster.start_engine(HEADWAY_CRASH_AT=point)
    engine.wait_for_output("upstream_opened")
    publish(cluster.broker_url, "1", "2")
    assert engine.wait() == crash_points.STATUS
    healthy = cluster.start_engine("healthy")
    healthy.wait_for_output("upstream_opened")
    publish(cluster.broker_url, "3")

    def decided() -> list[list[str]] | None:
        rows = kept(cluster)
        if len(rows) < 3 or not all(row["decided_at"] for row in rows):
            return None
        return [[d["run"] for d in row["decisions"]] for row in rows]

    runs = wait_until(decided, what="the decisions on three events")
    assert [len(started) for started in runs] == [1, 1, 1]
    broker = Broker(cluster.broker_url)
    wait_until(lambda: broker.depth(QUEUE) == 0, what="an empty queue")
    assert len(kept(cluster)) == 3
    assert len({run for [run] in runs}) == 3
