"""How a worker takes messages of both brokers: what it has room for, each queue in its turn."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest
import redis
from structlog.testing import capture_logs

from headway.broker_options import is_redis
from headway.clock import SystemClock
from headway.errors import UnavailableError
from headway.protocol.envelope import redis_task
from headway.protocol.messages import Dispatch
from headway.rabbitmq import ConfirmingPublisher, Outgoing
from headway.refusals import Refusals
from headway_worker.broker.contract import Ring, Source
from headway_worker.broker.rabbit_source import RabbitSource
from headway_worker.broker.redis_source import RedisSource
from headway_worker.voice import BrokerVoice
from tests.integration.brokers import Broker
from tests.servers.waiting import wait_until

QUEUES = ["demo.a", "demo.b"]
PROBE = "demo._probe.w"
SLOTS = 3


def source_of(url: str) -> Source:
    if is_redis(url):
        return RedisSource(url, QUEUES, PROBE, Refusals())
    return RabbitSource(url, QUEUES, PROBE, slots=SLOTS, clock=SystemClock())


def ring_text(queue: str, attempt: str) -> Dispatch:
    return Dispatch(
        team="demo", run="r", step="s", attempt=attempt, fence=1, dispatch_no=1, queue=queue
    )


def push(broker: Broker, queue: str, *attempts: str) -> None:
    """Send messages whose bodies are the names of attempts."""
    if is_redis(broker.url):
        server = redis.Redis.from_url(broker.url)
        for attempt in attempts:
            server.lpush(queue, redis_task(ring_text(queue, attempt)))
        server.close()
        return
    publisher = ConfirmingPublisher(broker.url)
    publisher.publish([Outgoing(queue, attempt, headers={"id": attempt}) for attempt in attempts])
    publisher.close()


@pytest.fixture
def source(broker: Broker) -> Iterator[Source]:
    made = source_of(broker.url)
    yield made
    made.close()


def names(rings: list[Ring]) -> list[str]:
    return [str(ring.headers["id"]).partition(".")[0] for ring in rings]


def gathered(source: Source, count: int, room: Callable[[list[Ring]], int]) -> list[Ring]:
    """Take until there are `count` messages; `room` is asked before each time."""
    found: list[Ring] = []

    def enough() -> bool:
        found.extend(source.take(room(found)))
        return len(found) >= count

    wait_until(enough, what=f"{count} messages")
    return found


def all_of(source: Source, count: int) -> list[Ring]:
    return gathered(source, count, lambda found: count - len(found))


def test_it_takes_what_it_has_room_for_and_in_order(broker: Broker, source: Source) -> None:
    push(broker, "demo.a", "0", "1", "2", "3")
    first = all_of(source, 2)
    assert names(first) == ["0", "1"]
    for ring in first:
        ring.done()
    assert names(all_of(source, 2)) == ["2", "3"]


def test_no_queue_waits_for_another(broker: Broker, source: Source) -> None:
    push(broker, "demo.a", *(f"a{number}" for number in range(4)))
    push(broker, "demo.b", *(f"b{number}" for number in range(4)))
    seen: list[str] = []
    for _ in range(4):
        rings = all_of(source, 2)
        seen += names(rings)
        for ring in rings:
            ring.done()
    assert sorted(seen) == sorted({*seen}), "each once"
    # RabbitMQ sends each queue's allowance as a whole.
    assert {name[0] for name in seen[: SLOTS + 1]} == {"a", "b"}


def test_what_is_given_back_is_found_by_another(broker: Broker, source: Source) -> None:
    push(broker, "demo.a", "0")
    [ring] = all_of(source, 1)
    source.pause()
    ring.give_back()
    other = source_of(broker.url)

    def settle() -> None:
        with contextlib.suppress(UnavailableError):
            source.take(0)

    settling = threading.Thread(target=settle, daemon=True)
    settling.start()  # on RabbitMQ the thread that takes tells the broker
    try:
        assert names(all_of(other, 1)) == ["0"]
    finally:
        other.close()
    source.break_off()
    settling.join(10)


def test_a_paused_one_hears_its_probes_and_takes_no_step(broker: Broker, source: Source) -> None:
    source.pause()
    push(broker, "demo.a", "0")
    voice = BrokerVoice(broker.url, PROBE)
    voice.send("7")
    assert names(all_of(source, 1)) == ["7"]
    voice.close()


def test_probes_are_heard_one_after_the_other_and_beside_steps(
    broker: Broker, source: Source
) -> None:
    voice = BrokerVoice(broker.url, PROBE)
    for number in ("7", "8", "9"):
        voice.send(number)
        assert names(all_of(source, 1)) == [number]
    voice.send("10")
    push(broker, "demo.a", "0")
    heard = gathered(source, 2, lambda found: 1)
    assert sorted(names(heard)) == ["0", "10"]
    voice.close()


def test_a_probe_is_heard_although_steps_never_run_out(broker: Broker, source: Source) -> None:
    for queue in QUEUES:
        push(broker, queue, *(str(number) for number in range(40)))
    voice = BrokerVoice(broker.url, PROBE)
    voice.send("probe")
    voice.close()
    seen: list[str] = []
    while "probe" not in seen and len(seen) < 30:
        for ring in source.take(1):
            seen += names([ring])
            ring.done()
    assert "probe" in seen


def test_a_wait_for_room_ends_when_there_is_some(broker: Broker, source: Source) -> None:
    push(broker, "demo.a", *(str(number) for number in range(SLOTS)))
    full = all_of(source, SLOTS)
    waiting = threading.Thread(target=lambda: source.take(0))
    waiting.start()
    source.wake()
    waiting.join(30)
    assert not waiting.is_alive()
    assert len(full) == SLOTS


def test_one_that_is_broken_off_says_so(source: Source) -> None:
    failures: list[Exception] = []

    def listen() -> None:
        try:
            while True:
                source.take(1)
        except UnavailableError as error:
            failures.append(error)

    listening = threading.Thread(target=listen, daemon=True)
    listening.start()

    def ended() -> bool:
        source.break_off()
        return not listening.is_alive()

    wait_until(ended, what="its end")
    assert "cannot take messages" in str(failures)


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
def test_a_user_that_may_not_pop_at_once_reads_one_by_one(broker: Broker) -> None:
    server = redis.Redis.from_url(broker.url)
    allowed = "ping select brpop sadd smembers multi exec zadd evalsha script llen rpush"
    server.acl_setuser(
        "plain",
        enabled=True,
        passwords="+word",
        keys=["*"],
        categories=["-@all"],
        commands=[f"+{command}" for command in allowed.split()],
    )
    source = source_of(broker.url.replace("redis://", "redis://plain:word@"))
    try:
        push(broker, "demo.a", *(str(number) for number in range(5)))
        with capture_logs() as logs:
            assert names(all_of(source, 5)) == ["0", "1", "2", "3", "4"]
        assert [log["event"] for log in logs] == ["rpop_refused"]
    finally:
        source.close()
        server.acl_deluser("plain")
        server.close()


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
def test_a_key_that_is_no_list_keeps_no_other_queue(broker: Broker, source: Source) -> None:
    server = redis.Redis.from_url(broker.url)
    server.set("demo.a", "x")
    push(broker, "demo.b", "0", "1", "2")
    with capture_logs() as logs:
        assert names(all_of(source, 3)) == ["0", "1", "2"]
    assert [log["event"] for log in logs] == ["queue_is_no_list"]
    server.delete("demo.a")
    push(broker, "demo.a", "3")
    again = source_of(broker.url)
    assert names(all_of(again, 1)) == ["3"], "a new connection finds it"
    again.close()
    server.close()


@pytest.mark.parametrize("broker", ["rabbitmq"], indirect=True)
def test_a_deleted_queue_ends_the_connection(broker: Broker, source: Source) -> None:
    push(broker, "demo.a", "0")
    all_of(source, 1)
    with broker.connection() as connection:
        connection.default_channel.queue_delete("demo.b")
    with pytest.raises(UnavailableError, match="its queue was deleted"):
        wait_until(lambda: source.take(1) is None, what="the broker's word")
