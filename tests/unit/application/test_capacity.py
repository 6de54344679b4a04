"""How much room the queues have, counted from rows of workers and attempts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from headway.clock import ManualClock
from headway_coordinator.application.capacity import CapacityView
from headway_coordinator.application.worker_ports import Occupancy, WorkerInfo

START = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)


class Rows:
    """Answers what a storage would: who lives and what is occupied."""

    def __init__(self, workers: Sequence[WorkerInfo], *occupied: Occupancy) -> None:
        self.reads = 0
        self.alive = list(workers)
        self.sweeps = SimpleNamespace(occupancy=lambda: list(occupied))
        self.workers = SimpleNamespace(live=self._live)

    def _live(self, within: timedelta) -> list[WorkerInfo]:
        self.reads += 1
        return self.alive


def worker(name: str, slots: int, *queues: str, draining: bool = False) -> WorkerInfo:
    return WorkerInfo(
        worker=name,
        boot="b",
        team="t",
        queues=queues or ("t.small",),
        slots=slots,
        slots_free=slots,
        draining=draining,
        hostname="h",
        version="0",
        registered_at=START,
        seen_at=START,
    )


def view(refresh: timedelta = timedelta()) -> tuple[CapacityView, ManualClock]:
    clock = ManualClock(START)
    return CapacityView(clock, live_within=timedelta(seconds=12), refresh=refresh), clock


def room(rows: Rows, capacity: CapacityView | None = None, ended: Any = ()) -> dict[str, int]:
    asked = capacity or view()[0]
    storage: Any = rows
    return {queue: window.room for queue, window in asked.windows(storage, ended).items()}


def test_free_slots_and_as_many_again() -> None:
    assert room(Rows([worker("w", 4)])) == {"t.small": 8}


def test_what_runs_and_what_is_unclaimed_takes_room() -> None:
    rows = Rows(
        [worker("w", 4)],
        Occupancy("t.small", "running", "w", 3),
        Occupancy("t.small", "dispatched", None, 2),
    )
    assert room(rows) == {"t.small": 3}


def test_slots_of_attempts_that_end_in_this_batch_are_free() -> None:
    rows = Rows([worker("w", 4)], Occupancy("t.small", "running", "w", 4))
    assert room(rows) == {"t.small": 4}
    assert room(rows, ended=["w", "w", None]) == {"t.small": 6}


def test_a_worker_of_two_classes_is_busy_for_both() -> None:
    rows = Rows([worker("w", 2, "t.a", "t.b")], Occupancy("t.a", "running", "w", 2))
    assert room(rows) == {"t.a": 2, "t.b": 2}


def test_a_draining_worker_offers_nothing() -> None:
    rows = Rows([worker("w", 2, draining=True), worker("v", 1)])
    assert room(rows) == {"t.small": 2}


def test_a_queue_without_a_worker_has_no_room() -> None:
    assert room(Rows([], Occupancy("t.small", "dispatched", None, 1))) == {"t.small": 0}


def test_more_running_than_slots_is_no_room_rather_than_less() -> None:
    rows = Rows([worker("w", 2)], Occupancy("t.small", "running", "w", 5))
    assert room(rows) == {"t.small": 2}


def test_long_steps_leave_no_look_ahead() -> None:
    capacity, _ = view()
    capacity.learn([("t.small", timedelta(minutes=1))])
    assert room(Rows([worker("w", 4)]), capacity) == {"t.small": 4}
    assert room(Rows([worker("w", 4, "t.other")]), capacity) == {"t.other": 8}


def test_the_median_follows_what_is_learned() -> None:
    capacity, _ = view()
    capacity.learn([("t.small", timedelta(minutes=1))])
    capacity.learn([("t.small", timedelta(milliseconds=5))] * 40)
    assert room(Rows([worker("w", 4)]), capacity) == {"t.small": 8}


def test_workers_are_read_again_after_the_refresh_interval() -> None:
    capacity, clock = view(refresh=timedelta(milliseconds=500))
    rows = Rows([worker("w", 4)])
    room(rows, capacity)
    room(rows, capacity)
    assert rows.reads == 1
    rows.alive.append(worker("v", 1))
    clock.advance(timedelta(milliseconds=500))
    assert room(rows, capacity) == {"t.small": 10}
    assert rows.reads == 2


def test_between_two_counts_of_the_rows_what_was_committed_counts() -> None:
    capacity, clock = view(refresh=timedelta(milliseconds=500))
    rows = Rows([worker("w", 4)], Occupancy("t.small", "running", "w", 4))
    assert room(rows, capacity) == {"t.small": 4}
    capacity.moved(["t.small"] * 4, [])
    assert room(rows, capacity) == {"t.small": 0}
    # Two end, whose slots two of the four waiting ones take: their claims are not seen here.
    capacity.moved([], ["w", "w"])
    assert room(rows, capacity) == {"t.small": 2}
    clock.advance(timedelta(milliseconds=500))
    assert room(rows, capacity) == {"t.small": 4}


def test_slots_of_a_worker_of_two_classes_are_taken_by_what_waits_in_either() -> None:
    capacity, _ = view(refresh=timedelta(milliseconds=500))
    rows = Rows(
        [worker("w", 2, "t.a", "t.b")],
        Occupancy("t.a", "running", "w", 2),
        Occupancy("t.b", "dispatched", None, 1),
    )
    assert room(rows, capacity) == {"t.a": 2, "t.b": 1}
    assert room(rows, capacity, ended=["w"]) == {"t.a": 2, "t.b": 2}
    assert room(rows, capacity, ended=["w", "w"]) == {"t.a": 3, "t.b": 3}


def test_the_rows_are_counted_again_at_once_when_asked() -> None:
    capacity, _ = view(refresh=timedelta(milliseconds=500))
    rows = Rows([worker("w", 4)])
    room(rows, capacity)
    capacity.moved(["t.small"] * 8, [])
    assert room(rows, capacity) == {"t.small": 0}
    capacity.count_again()
    assert room(rows, capacity) == {"t.small": 8}
