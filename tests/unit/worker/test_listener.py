"""The listener's loop, with a source that does as it is told."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator

import pytest
from structlog.testing import capture_logs

from headway.errors import UnavailableError
from headway_worker.broker.contract import Ring
from headway_worker.broker.listener import Listener
from tests.servers.waiting import wait_until


class Scripted:
    """A source that takes what the test puts in: messages, or an error to raise."""

    def __init__(self) -> None:
        self.coming: queue.Queue[list[Ring] | Exception] = queue.Queue()
        self.rooms: list[int] = []
        self.paused = self.closed = 0

    def take(self, room: int) -> list[Ring]:
        self.rooms.append(room)
        try:
            match self.coming.get(timeout=0.02):
                case Exception() as error:
                    raise error
                case rings:
                    return rings
        except queue.Empty:
            return []

    def pause(self) -> None:
        self.paused += 1

    def wake(self) -> None: ...

    def break_off(self) -> None:
        self.coming.put(UnavailableError("broker", "cut"))

    def close(self) -> None:
        self.closed += 1


class Door:
    def __init__(self) -> None:
        self.is_draining = False
        self.taken: list[Ring] = []
        self.breaks = False

    def room(self) -> int:
        return 2

    def take(self, ring: Ring) -> None:
        if self.breaks:
            raise LookupError("a defect")
        self.taken.append(ring)


def ring(done: Callable[[], None] = lambda: None) -> Ring:
    return Ring("q", {}, "", done, lambda: None)


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def sources() -> list[Scripted]:
    return []


@pytest.fixture
def listener(door: Door, sources: list[Scripted]) -> Iterator[Listener]:
    def connect() -> Scripted:
        sources.append(Scripted())
        return sources[-1]

    made = Listener(connect, door)
    made.start()
    wait_until(lambda: sources)
    yield made
    made.end()


def test_messages_go_through_the_door(
    listener: Listener, door: Door, sources: list[Scripted]
) -> None:
    rings = [ring(), ring()]
    sources[0].coming.put(rings)
    wait_until(lambda: len(door.taken) == 2)
    assert sources[0].rooms[0] == 2


@pytest.mark.parametrize(
    ("error", "event"),
    [(UnavailableError("broker", "away"), "broker_lost"), (LookupError("x"), "listener_broke")],
)
def test_after_an_error_it_connects_anew(
    listener: Listener, sources: list[Scripted], error: Exception, event: str
) -> None:
    with capture_logs() as logs:
        sources[0].coming.put(error)
        wait_until(lambda: len(sources) == 2)
    assert [log["event"] for log in logs] == [event]
    assert sources[0].closed == 1


def test_a_draining_one_pauses_once_and_makes_no_room(
    listener: Listener, door: Door, sources: list[Scripted]
) -> None:
    door.is_draining = True
    wait_until(lambda: sources[0].rooms[-1] == 0)
    seen = len(sources[0].rooms)
    wait_until(lambda: len(sources[0].rooms) > seen + 2)
    assert sources[0].paused == 1


def test_a_message_that_breaks_the_door_costs_no_other(
    listener: Listener, door: Door, sources: list[Scripted]
) -> None:
    settled: list[str] = []
    door.breaks = True
    with capture_logs() as logs:
        sources[0].coming.put(
            [ring(lambda: settled.append("a")), ring(lambda: settled.append("b"))]
        )
        wait_until(lambda: settled == ["a", "b"])
    assert [log["event"] for log in logs] == ["message_broke"] * 2
    assert sources[0].closed == 0


def test_told_to_reconnect_it_does(listener: Listener, sources: list[Scripted]) -> None:
    listener.reconnect()
    wait_until(lambda: len(sources) == 2)


def test_an_ended_one_closes_its_source(
    listener: Listener, door: Door, sources: list[Scripted]
) -> None:
    listener.end()
    assert sources[-1].closed == 1
