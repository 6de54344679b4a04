"""Whose turn it is among the runs of a group."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.plan.model import Overlap
from headway_coordinator.admission.turns import Active, Contender, Group

START = datetime(2026, 3, 1, tzinfo=UTC)
ALLOW, QUEUE, SKIP, REPLACE = Overlap


def contender(
    number: int, overlap: Overlap = QUEUE, *, limit: int = 1, priority: int = 0
) -> Contender:
    return Contender(-priority, START + timedelta(seconds=number), f"r{number}", overlap, limit)


def active(number: int, *, stopping: bool = False) -> Active:
    return Active(START + timedelta(seconds=number), stopping)


def group(*waiting: Contender, under_way: dict[str, Active] | None = None) -> Group:
    made = Group()
    for each in waiting:
        made.wait(each)
    for run, state in (under_way or {}).items():
        made.go(run, state)
    return made


def test_an_empty_group_has_no_moves() -> None:
    found = group().turns()
    assert (found.start, found.skip, found.replace) == ((), {}, {})


def test_the_oldest_goes_first_and_a_higher_priority_before_it() -> None:
    line = group(contender(2), contender(1), contender(3, priority=5), under_way={})
    assert line.turns().start == ("r3",)
    line.remove("r3")
    assert line.turns().start == ("r1",)


def test_as_many_start_as_the_limit_leaves() -> None:
    waiting = [contender(n, ALLOW, limit=3) for n in range(5)]
    line = group(*waiting, under_way={"a": active(0)})
    assert line.turns().start == ("r0", "r1")


def test_nobody_overtakes_one_that_waits() -> None:
    line = group(contender(1, limit=1), contender(2, limit=9), under_way={"a": active(0)})
    assert line.turns().start == ()


@pytest.mark.parametrize(
    ("overlap", "start", "skip", "replace"),
    [
        (QUEUE, (), {}, {}),
        (SKIP, (), {"r1": "a"}, {}),
        (REPLACE, (), {}, {"a": "r1"}),
    ],
)
def test_what_one_more_does(
    overlap: Overlap, start: tuple[str, ...], skip: dict[str, str], replace: dict[str, str]
) -> None:
    found = group(contender(1, overlap), under_way={"a": active(0)}).turns()
    assert (found.start, found.skip, found.replace) == (start, skip, replace)


def test_the_newest_replaces_what_waits_and_what_runs() -> None:
    line = group(contender(1, REPLACE), contender(2, REPLACE), under_way={"a": active(0)})
    assert line.turns().replace == {"r1": "r2", "a": "r2"}
    line.remove("r1")
    line.go("a", active(0, stopping=True))
    assert line.turns().replace == {}  # asked once is enough
    line.remove("a")
    assert line.turns().start == ("r2",)


def test_a_replacement_stops_the_oldest_and_no_more_than_it_needs() -> None:
    under_way = {"b": active(2), "a": active(1), "c": active(3)}
    line = group(contender(9, REPLACE, limit=3), under_way=under_way)
    assert line.turns().replace == {"a": "r9"}


def test_a_copy_moves_alone() -> None:
    line = group(contender(1, SKIP))
    twin = line.copy()
    twin.go("r1", active(1))
    assert line.turns().start == ("r1",)
    assert (len(line), len(twin)) == (1, 1)
    assert (list(line.active), list(twin.active)) == ([], ["r1"])
    assert (line.special, twin.special) == ({"r1"}, set())


def test_a_run_stands_in_one_place_only() -> None:
    line = group(contender(1))
    line.wait(contender(1))
    assert len(line) == 1
    line.go("r1", active(1))
    assert len(line) == 1
    line.wait(contender(1))  # a person's retry
    assert (len(line.active), len(line.waiting)) == (0, 1)
    line.remove("r1")
    line.remove("r1")
    assert len(line) == 0


events = st.lists(
    st.tuples(st.sampled_from(["come", "end"]), st.sampled_from(list(Overlap)), st.integers(0, 2)),
    max_size=60,
)


@given(events, st.integers(1, 3))
def test_the_limit_holds_and_no_turn_is_wasted(
    happened: list[tuple[str, Overlap, int]], limit: int
) -> None:
    line, number = Group(), 0
    for what, overlap, priority in happened:
        if what == "come":
            number += 1
            line.wait(contender(number, overlap, limit=limit, priority=priority))
        elif line.active:
            line.remove(next(iter(line.active)))
        while True:
            found = line.turns()
            assert not set(found.start) & (set(found.skip) | set(found.replace))
            for run in found.start:
                line.go(run, active(int(run[1:])))
            for run in (*found.skip, *found.replace):
                line.remove(run)  # it stops at once
            assert len(line.active) <= limit
            if not (found.start or found.skip or found.replace):
                break
        assert not line.waiting or len(line.active) == limit


@given(st.permutations(range(8)), st.integers(1, 3))
def test_who_waits_is_served_in_the_order_of_coming(order: list[int], limit: int) -> None:
    line = group(*(contender(n, limit=limit) for n in order))
    started: list[str] = []
    while line.waiting or line.active:
        for run in line.turns().start:
            started.append(run)
            line.go(run, active(int(run[1:])))
        line.remove(next(iter(line.active)))
    assert started == [f"r{n}" for n in range(8)]
