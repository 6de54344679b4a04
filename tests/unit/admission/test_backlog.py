"""The order of admission, and what happens to entries that no longer wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from headway_coordinator.admission.backlog import Backlog, Waiting

START = datetime(2026, 3, 1, tzinfo=UTC)


def waiting(step: str, *, priority: int = 0, after: int = 0, run: str = "r") -> Waiting:
    return Waiting(-priority, START + timedelta(seconds=after), run, (ord(step[0]), 0), step)


def backlog(*entries: Waiting, queue: str = "q") -> Backlog:
    made = Backlog()
    for entry in entries:
        made.add(queue, entry)
    return made


def always(_: Waiting) -> bool:
    return True


IN_ORDER = [
    waiting("d", priority=9, after=5),
    waiting("c", priority=1),
    waiting("b", after=1, run="x"),
    waiting("a", after=2, run="q"),
    waiting("a", after=2, run="r"),
    waiting("b", after=2, run="r"),
]


@pytest.mark.parametrize("shuffled", list(permutations(range(6)))[::97])
def test_priority_then_age_then_run_then_place_in_the_plan(shuffled: tuple[int, ...]) -> None:
    made = backlog(*(IN_ORDER[i] for i in shuffled))
    assert made.take("q", 6, always) == IN_ORDER


def test_no_more_is_taken_than_there_is_room() -> None:
    made = backlog(*IN_ORDER)
    assert made.take("q", 0, always) == []
    assert made.take("q", 2, always) == IN_ORDER[:2]
    assert len(made) == 4
    assert made.take("q", 9, always) == IN_ORDER[2:]


def test_stale_entries_are_dropped_and_take_no_room() -> None:
    made = backlog(*IN_ORDER)
    assert made.take("q", 2, lambda w: w.step == "b") == [IN_ORDER[2], IN_ORDER[5]]
    assert len(made) == 0


def test_an_entry_that_stands_there_twice_is_taken_once() -> None:
    made = backlog(IN_ORDER[1], IN_ORDER[0], IN_ORDER[1], IN_ORDER[0])
    assert made.take("q", 9, always) == IN_ORDER[:2]


def test_queues_are_apart_and_named_in_a_stable_order() -> None:
    made = backlog(IN_ORDER[0], queue="t.small")
    made.add("t.io", IN_ORDER[1])
    made.add("a.io", IN_ORDER[2])
    assert list(made.queues()) == ["a.io", "t.io", "t.small"]
    assert made.take("t.io", 9, always) == [IN_ORDER[1]]
    assert made.take("nobody", 9, always) == []
    assert list(made.queues()) == ["a.io", "t.small"]
    assert len(made) == 2
