"""What a consumer takes of Redis when it was full and has room again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from kombu import Connection, Consumer, Queue
from structlog.testing import capture_logs

from headway.broker_options import connection_arguments, declaration
from headway.protocol.envelope import redis_json

ROOM = 3


class Reader:
    """A consumer of two queues with room for three messages."""

    def __init__(self, url: str) -> None:
        self.connection = Connection(**connection_arguments(url))
        self.channel = self.connection.channel()
        self.channel.basic_qos(0, ROOM, False)
        queues = [Queue(**declaration(f"demo.{name}")) for name in ("a", "b")]
        self.consumer = Consumer(self.channel, queues, on_message=self._take)
        self.consumer.consume()
        self.taken: list[Any] = []

    def _take(self, message: Any) -> None:
        if message.body == b"bad":
            message.ack()
            raise LookupError("this one cannot be used")
        self.taken.append(message)

    def fill(self) -> None:
        while len(self.taken) < ROOM:
            self.connection.drain_events(timeout=5)

    def poll(self) -> None:
        self.connection.transport.cycle.on_poll_start()

    def acknowledge(self) -> None:
        for message in self.taken:
            message.ack()
        self.taken = []

    def bodies(self) -> list[str]:
        return [message.body.decode() for message in self.taken]


@pytest.fixture
def server(redis_database: str) -> Iterator[redis.Redis]:
    made = redis.Redis.from_url(redis_database)
    yield made
    made.close()


@pytest.fixture
def reader(redis_database: str) -> Iterator[Reader]:
    made = Reader(redis_database)
    yield made
    made.connection.release()


def push(server: redis.Redis, queue: str, *bodies: str) -> None:
    for body in bodies:
        server.lpush(queue, redis_json(body, queue, body))


def test_a_full_reader_takes_nothing_and_then_as_much_as_it_has_room_for(
    server: redis.Redis, reader: Reader
) -> None:
    push(server, "demo.a", *(str(number) for number in range(8)))
    reader.fill()
    reader.poll()
    assert reader.bodies() == ["0", "1", "2"]
    reader.acknowledge()
    reader.poll()
    assert reader.bodies() == ["3", "4", "5"], "at once, and in order"
    assert server.llen("demo.a") == 2


def test_no_queue_waits_for_another(server: redis.Redis, reader: Reader) -> None:
    push(server, "demo.a", *(f"a{number}" for number in range(6)))
    push(server, "demo.b", *(f"b{number}" for number in range(6)))
    reader.fill()
    seen = reader.bodies()
    reader.poll()
    for _ in range(2):
        reader.acknowledge()
        reader.poll()
        seen += reader.bodies()
    assert {body[0] for body in seen[:3]} == {body[0] for body in seen[3:6]} == {"a", "b"}
    assert sorted(seen) == sorted(set(seen)), "each once"


def test_an_empty_line_is_waited_for_as_ever(server: redis.Redis, reader: Reader) -> None:
    push(server, "demo.a", "0", "1", "2")
    reader.fill()
    reader.poll()
    reader.acknowledge()
    reader.poll()
    assert reader.taken == []
    push(server, "demo.b", "late")
    reader.connection.drain_events(timeout=5)
    assert reader.bodies() == ["late"]


def test_one_that_cannot_be_used_costs_no_other(server: redis.Redis, reader: Reader) -> None:
    push(server, "demo.a", "0", "1", "2", "bad", "4")
    server.lpush("demo.a", b"no json", redis_json("5", "demo.a", "5"))
    reader.fill()
    reader.poll()
    reader.acknowledge()
    with pytest.raises(LookupError):
        reader.poll()
    reader.poll()
    assert reader.bodies() == ["4"]
    reader.connection.drain_events(timeout=5)
    assert reader.bodies() == ["4", "5"]
    assert reader.connection.transport.refusals.counts()["not_json"] == 1


def test_a_user_that_may_not_pop_reads_one_by_one(server: redis.Redis, redis_database: str) -> None:
    allowed = "ping select brpop sadd smembers multi exec zadd evalsha script llen"
    server.acl_setuser(
        "plain",
        enabled=True,
        passwords="+word",
        keys=["*"],
        categories=["-@all"],
        commands=[f"+{command}" for command in allowed.split()],
    )
    reader = Reader(redis_database.replace("redis://", "redis://plain:word@"))
    try:
        push(server, "demo.a", *(str(number) for number in range(5)))
        reader.fill()
        reader.poll()
        reader.acknowledge()
        with capture_logs() as logs:
            reader.poll()
        assert [log["event"] for log in logs] == ["rpop_refused"]
        while len(reader.taken) < 2:
            reader.connection.drain_events(timeout=5)
        assert reader.bodies() == ["3", "4"]
    finally:
        reader.connection.release()
        server.acl_deluser("plain")
