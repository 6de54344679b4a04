"""The queue between the consumer's thread and the leader's."""

from __future__ import annotations

from headway_coordinator.application.batch import Incoming
from headway_coordinator.engine.events import CancelRequested
from headway_coordinator.loops.mailbox import Mailbox


def event(run: str) -> Incoming:
    return Incoming(run, CancelRequested("ada"))


def test_events_come_out_in_order_and_no_more_than_asked() -> None:
    box = Mailbox()
    for run in "abc":
        box.put(event(run))
    first, nudged = box.take(2, 0)
    assert [i.run for i in first] == ["a", "b"]
    assert not nudged
    rest, _ = box.take(2, 0)
    assert [i.run for i in rest] == ["c"]


def test_what_is_put_back_comes_first_and_in_its_order() -> None:
    box = Mailbox()
    box.put(event("c"))
    box.put_back([event("a"), event("b")])
    taken, _ = box.take(10, 0)
    assert [i.run for i in taken] == ["a", "b", "c"]


def test_a_nudge_is_told_once() -> None:
    box = Mailbox()
    box.nudge()
    assert box.take(1, 0) == ([], True)
    assert box.take(1, 0) == ([], False)


def test_clearing_leaves_nothing() -> None:
    box = Mailbox()
    box.put(event("a"))
    assert [i.run for i in box.clear()] == ["a"]
    assert len(box) == 0
