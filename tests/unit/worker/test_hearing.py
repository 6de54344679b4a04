"""When a worker doubts that it hears its steps' queues, on a clock of the test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from headway.clock import ManualClock
from headway.errors import UnavailableError
from headway_worker.hearing import Hearing

OURS = ["demo.a", "demo.b"]


@dataclass
class Broker:
    """Tells which queues nobody consumes; None: it is away."""

    unconsumed: list[str] | None = field(default_factory=list)

    def send(self, probe: str) -> None: ...

    def forsaken(self, queues: Sequence[str]) -> list[str]:
        if self.unconsumed is None:
            raise UnavailableError("broker", "away")
        return [queue for queue in queues if queue in self.unconsumed]

    def close(self) -> None: ...


class Listener:
    def __init__(self) -> None:
        self.broker = Broker()
        self.clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.queues = list(OURS)
        self.reconnects = 0
        self.has_free_slot = True
        self.hearing = Hearing(
            self.broker,
            self.clock,
            queues=lambda: self.queues,
            limit=timedelta(seconds=60),
            has_free_slot=lambda: self.has_free_slot,
            reconnect=self._reconnect,
            on_deaf=lambda: None,
        )
        self.clock.advance(timedelta(minutes=2))

    def _reconnect(self) -> None:
        self.reconnects += 1

    def doubts(self, *beats: list[str]) -> int:
        for queues in beats:
            self.hearing.doubt(queues)
        return self.reconnects


@pytest.fixture
def listener() -> Listener:
    return Listener()


def test_a_queue_that_nobody_consumes_at_two_looks_is_connected_to_anew(listener: Listener) -> None:
    listener.broker.unconsumed = ["demo.b"]
    listener.hearing.look()
    assert listener.reconnects == 0, "a reconnect may be under way"
    listener.hearing.look()
    assert listener.reconnects == 1
    listener.hearing.look()
    assert listener.reconnects == 1, "it takes its time"
    listener.broker.unconsumed = []
    listener.hearing.look()
    listener.broker.unconsumed = ["demo.b"]
    listener.hearing.look()
    assert listener.reconnects == 1


def test_the_second_look_comes_soon(listener: Listener) -> None:
    usual = listener.hearing.pause()
    assert usual == 10, "a sixth of the limit"
    listener.broker.unconsumed = ["demo.b"]
    listener.hearing.look()
    assert listener.hearing.pause() < usual / 2
    listener.hearing.look()
    assert listener.hearing.pause() == usual


def test_a_worker_whose_slots_are_all_in_use_may_listen_to_nothing(listener: Listener) -> None:
    """RabbitMQ sent it more than it has room for, so it gave that back and stopped listening."""
    listener.broker.unconsumed = ["demo.b"]
    listener.has_free_slot = False
    listener.hearing.look()
    listener.hearing.look()
    listener.has_free_slot = True
    listener.hearing.look()
    assert listener.reconnects == 0, "it has just begun to listen again"
    listener.hearing.look()
    assert listener.reconnects == 1


def test_nothing_is_concluded_while_the_broker_is_away(listener: Listener) -> None:
    for seen in (["demo.a"], None, ["demo.a"], ["demo.b"]):
        listener.broker.unconsumed = seen
        listener.hearing.look()
    assert listener.reconnects == 0


def test_the_coordinator_is_believed_at_the_third_time_in_a_row(listener: Listener) -> None:
    assert listener.doubts(["demo.a"], ["demo.a"], [], ["demo.a"], ["demo.b"], ["demo.a"]) == 0
    assert listener.doubts(["demo.a"], ["demo.a"]) == 1


def test_it_is_believed_once_in_a_while(listener: Listener) -> None:
    assert listener.doubts(*[["demo.a"]] * 20) == 1
    listener.clock.advance(timedelta(seconds=60))
    assert listener.doubts(["demo.a"]) == 2


def test_queues_of_others_and_those_given_up_are_no_concern(listener: Listener) -> None:
    assert listener.doubts(*[["demo.of-others"]] * 5) == 0
    listener.queues.clear()  # draining
    listener.broker.unconsumed = list(OURS)
    listener.hearing.look()
    listener.hearing.look()
    assert listener.doubts(*[["demo.a"]] * 5) == 0
