"""The coordinator's side of a real broker: doorbells, events, and a look at its data."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from celery import Celery
from kombu import Queue
from structlog.testing import capture_logs

from headway.broker_options import declaration
from headway.clock import ManualClock
from headway.protocol.envelope import redis_json
from headway.protocol.messages import Completion, Dispatch, Outcome, Sealed
from headway.protocol.proof import completion_token, seal
from headway.protocol.queues import CANARY, EVENTS
from headway_coordinator.application.batch import Incoming
from headway_coordinator.broker.events import EventConsumer
from headway_coordinator.broker.pinging import BrokerPing
from headway_coordinator.broker.publishing import Publisher
from headway_coordinator.broker.watching import BrokerWatch
from headway_coordinator.engine.events import Finished
from tests.integration.brokers import Broker, through
from tests.integration.garbage import GARBAGE
from tests.servers.proxy import FaultProxy
from tests.servers.waiting import wait_until

KEY = b"a key for these tests"


def dispatch(no: int = 1) -> Dispatch:
    return Dispatch(
        team="demo",
        run="r",
        step="a",
        attempt=f"r-0-{no}",
        fence=no,
        dispatch_no=1,
        queue="demo.default",
    )


def completion(**changed: Any) -> Completion:
    facts: dict[str, Any] = {
        "attempt": "r-0-1",
        "fence": 1,
        "run": "r",
        "step": "a",
        "worker": "w",
        "boot": "b",
        "seq": 1,
        "outcome": Outcome.SUCCEEDED,
        "started_at": "2026-01-01T00:00:00Z",
        "finished_at": "2026-01-01T00:00:01Z",
    }
    return Completion.model_validate({**facts, **changed}, strict=False)


def sealed(message: Completion, key: bytes = KEY) -> Sealed:
    body = message.model_dump_json()
    token = completion_token(
        key,
        attempt=message.attempt,
        fence=message.fence,
        worker=message.worker,
        boot=message.boot,
    )
    return Sealed(body=body, mac=seal(body.encode(), token))


def batch(*messages: Sealed) -> str:
    return json.dumps({"completions": [m.model_dump() for m in messages]})


class Listener:
    """An event consumer with what it delivered and refused."""

    def __init__(self, url: str) -> None:
        self.delivered: list[Incoming] = []
        self.refused: list[str] = []
        self.nudges = 0
        self.consumer = EventConsumer(
            url,
            key=KEY,
            deliver=self.delivered.append,
            nudge=self._nudged,
            refused=self.refused.append,
            wake=lambda: Broker(url).send('{"nudge":1}'),
        )

    def _nudged(self) -> None:
        self.nudges += 1


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    made = Listener(broker.url)
    made.consumer.start()
    yield made
    made.consumer.stop()


@pytest.fixture
def publisher(broker: Broker) -> Iterator[Publisher]:
    made = Publisher(broker.url, "test")
    yield made
    made.close()


@pytest.fixture
def client(redis_database: str) -> Iterator[redis.Redis]:
    made = redis.Redis.from_url(redis_database)
    yield made
    made.close()


def test_a_dispatch_is_a_task_message_that_celery_understands(
    publisher: Publisher, broker: Broker
) -> None:
    publisher.publish([dispatch(1), dispatch(2)])
    app = Celery(broker=broker.url, set_as_current=False)
    received: list[Any] = []
    with broker.connection() as connection:
        queue = Queue(**declaration("demo.default"))
        with app.amqp.TaskConsumer(connection.channel(), queues=[queue]) as consumer:
            consumer.on_message = received.append

            def both() -> bool:
                connection.drain_events(timeout=5)
                return len(received) == 2

            wait_until(both, what="both messages")
    assert [m.headers["task"] for m in received] == ["headway.execute"] * 2
    args, kwargs, _ = received[0].decode()
    assert Dispatch.model_validate(args[0]) == dispatch(1)
    assert kwargs == {}
    assert received[0].headers["id"] == "r-0-1.1"


def test_a_message_without_secrets_stays_under_a_kilobyte_of_body() -> None:
    long = dispatch().model_copy(update={"team": "t" * 63, "step": "s" * 63, "run": "r" * 26})
    assert len(long.model_dump_json()) < 1024


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//"])
def test_a_publisher_without_a_broker_neither_raises_nor_blocks(url: str) -> None:
    publisher = Publisher(url, "test")
    publisher.publish([dispatch()])
    wait_until(lambda: publisher.failures == 1, what="the failed publish")
    publisher.publish([dispatch()])
    publisher.close()
    assert publisher.published == 0


def test_sealed_completions_are_delivered_and_the_last_carries_the_message(
    listener: Listener, broker: Broker
) -> None:
    broker.send(batch(sealed(completion()), sealed(completion(attempt="r-1-1", outcome="failed"))))
    wait_until(lambda: len(listener.delivered) == 2, what="both completions")
    first, second = listener.delivered
    assert isinstance(first.event, Finished)
    assert (first.event.attempt, first.event.outcome, first.worker) == ("r-0-1", "succeeded", "w")
    assert first.ticket is None
    assert second.ticket is not None
    assert listener.refused == []


def test_what_is_forged_or_garbage_is_refused_and_the_loop_goes_on(
    listener: Listener, broker: Broker
) -> None:
    forged = sealed(completion(), key=b"another key of sixteen")
    stolen = sealed(completion()).model_copy(
        update={"body": completion(outcome="failed").model_dump_json()}
    )
    bodies = ["", "{", "[" * 5000, batch(forged), batch(stolen), json.dumps({"completions": []})]
    broker.send(*bodies, '{"nudge":1}', batch(sealed(completion())))
    wait_until(lambda: listener.delivered, what="the one good completion")
    assert len(listener.delivered) == 1
    assert len(listener.refused) == len(bodies)
    assert listener.refused.count("forged") == 2
    assert listener.nudges == 1


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
def test_what_is_no_message_at_all_costs_the_consumer_nothing(
    listener: Listener, client: redis.Redis
) -> None:
    with capture_logs() as logs:
        for element, _ in GARBAGE:
            client.lpush(EVENTS, element, element)
        client.lpush(EVENTS, redis_json(batch(sealed(completion())), EVENTS, "last"))
        wait_until(lambda: listener.delivered, what="the one good completion")
    assert Counter(listener.refused) == Counter(2 * [kind for _, kind in GARBAGE])
    assert [log["event"] for log in logs] == ["message_refused"] * len(set(listener.refused))
    assert {log["queue"] for log in logs} == {EVENTS}


@pytest.mark.parametrize("defect", [KeyError("x"), TypeError("x"), RecursionError("x")])
def test_a_defect_of_the_taker_is_not_the_message_s_fault(
    broker: Broker, defect: Exception
) -> None:
    made = Listener(broker.url)

    def deliver(incoming: Incoming) -> None:
        made.delivered.append(incoming)
        raise defect

    made.consumer = EventConsumer(
        broker.url, key=KEY, deliver=deliver, nudge=lambda: None, refused=made.refused.append
    )
    with capture_logs() as logs:
        made.consumer.start()
        broker.send(batch(sealed(completion())))
        wait_until(lambda: logs, what="the log of the defect")
        made.consumer.stop()
    assert [log["event"] for log in logs] == ["events_interrupted"]
    assert len(made.delivered) == 1
    assert made.refused == []


def test_a_nudge_wakes_and_is_sent_once(listener: Listener, publisher: Publisher) -> None:
    publisher.nudge()
    wait_until(lambda: listener.nudges >= 1, what="the nudge")


def test_a_wait_on_redis_for_nothing_is_not_begun_anew_each_second(
    redis_database: str, client: redis.Redis
) -> None:
    listener = Listener(redis_database)
    with client.monitor() as monitor:  # type: ignore[no-untyped-call]
        listener.consumer.start()
        commands = (entry["command"].split() for entry in monitor.listen())
        wait = next(words for words in commands if words[:2] == ["BRPOP", EVENTS])
    listener.consumer.stop()
    assert float(wait[-1]) == 5


def test_the_watch_sees_that_the_data_is_gone(broker: Broker) -> None:
    watches = [BrokerWatch(broker.url, name) for name in ("a", "b")]
    try:
        broker.send("1", "2", queue="demo.default")
        for watch in watches:
            watch.ask(["demo.default", "demo.unknown"])
            for _ in range(2):
                watch.tick()
                assert watch.view.reachable
                assert watch.view.depths == {"demo.default": 2, "demo.unknown": 0}
                assert watch.view.losses == 0
        broker.lose_data(holders=["a", "b"], queues=["demo.default"])
        for watch in watches:
            watch.tick()
            watch.tick()
            assert (watch.view.losses, watch.view.depths["demo.default"]) == (1, 0)
    finally:
        for watch in watches:
            watch.close()


def test_the_watch_sees_that_the_data_is_another(redis_database: str, client: redis.Redis) -> None:
    watch = BrokerWatch(redis_database, "a")
    watch.tick()
    client.set(CANARY, "a restored snapshot's")
    watch.tick()
    assert watch.view.losses == 1
    watch.close()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//"])
def test_the_watch_says_that_the_broker_is_away(url: str) -> None:
    watch = BrokerWatch(url, "a")
    watch.tick()
    assert not watch.view.reachable
    watch.close()


def test_a_queue_that_was_deleted_costs_one_batch_and_no_more(
    publisher: Publisher, broker: Broker
) -> None:
    publisher.publish([dispatch(1)])
    wait_until(lambda: publisher.published == 1, what="the first message")
    broker.lose_data(holders=[], queues=["demo.default"])
    publisher.publish([dispatch(2)])
    wait_until(lambda: publisher.published == 2, what="the second message")
    assert broker.depth("demo.default") == 1


def test_a_queue_that_others_declare_at_the_same_moment_loses_no_message(broker: Broker) -> None:
    """A quorum queue refuses messages until its leader is elected."""
    publishers = [Publisher(broker.url, str(number)) for number in range(3)]
    for number, publisher in enumerate(publishers):
        publisher.publish([dispatch(number)])
    wait_until(lambda: all(p.published for p in publishers), what="every message")
    assert broker.depth("demo.default") == 3
    for publisher in publishers:
        publisher.close()
        assert publisher.failures == 0


def test_a_connection_that_broke_unseen_costs_no_message(
    publisher: Publisher, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.publish([dispatch(1)])
    wait_until(lambda: publisher.published == 1, what="the first message")
    broken = publisher._sender
    assert broken is not None
    monkeypatch.setattr(broken, "send", _fail)
    publisher.publish([dispatch(2)])
    wait_until(lambda: publisher.published == 2, what="the second message")
    assert broker.depth("demo.default") == 2
    assert publisher.failures == 1


def _fail(*_args: object, **_kwargs: object) -> None:
    raise ConnectionResetError("cut")


def test_whether_the_broker_answers_is_asked_now_and_then(
    broker: Broker, proxy: FaultProxy
) -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    answers = BrokerPing(through(broker.url, proxy), clock)
    assert answers()
    for breaking in (proxy.cut, proxy.blackhole):
        breaking()
        assert answers(), "it was asked a moment ago"
        clock.advance(timedelta(seconds=5))
        assert not answers()
        proxy.restore()
        clock.advance(timedelta(seconds=5))
        assert answers()
