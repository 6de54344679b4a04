"""How many unclaimed dispatches a queue may hold."""

from __future__ import annotations

from datetime import timedelta

import pytest

from headway_coordinator.admission.window import Capacity, Window, windows


def worker(slots: int, running: int = 0, *queues: str, name: str = "w") -> Capacity:
    return Capacity(name, slots, running, queues or ("q",))


@pytest.mark.parametrize(
    ("slots", "running", "median", "size"),
    [
        (8, 0, None, 16),
        (8, 8, None, 8),
        (8, 8, timedelta(milliseconds=10), 8),
        (8, 8, timedelta(seconds=1), 8),
        (8, 3, timedelta(seconds=2), 9),
        (8, 8, timedelta(seconds=3), 2),
        (8, 8, timedelta(minutes=1), 0),
        (8, 9, timedelta(minutes=1), 0),
        (0, 0, None, 0),
    ],
)
def test_the_size_of_a_window(
    slots: int, running: int, median: timedelta | None, size: int
) -> None:
    known = {"q": median} if median else {}
    window = windows([worker(slots, running)], {}, known)["q"]
    free = max(0, slots - running)
    assert window == Window(size=size, unclaimed=0, workers=1, slots=slots, free=free)


def test_as_many_slots_as_seconds_look_one_step_ahead() -> None:
    # 49 × (1 s ÷ 49 s) is a little less than 1 in floating point.
    for slots in range(1, 200):
        window = windows([worker(slots, slots)], {}, {"q": timedelta(seconds=slots)})["q"]
        assert window.size == 1, slots


def test_workers_of_a_queue_add_up() -> None:
    workers = [worker(4, 1, "a", "b"), worker(2, 2, "b"), worker(9, 0, "c")]
    found = windows(workers, {"b": 3}, {"b": timedelta(seconds=3)})
    assert found["a"] == Window(size=7, unclaimed=0, workers=1, slots=4, free=3)
    assert found["b"] == Window(size=5, unclaimed=3, workers=2, slots=6, free=3)
    assert found["b"].room == 2


def test_a_queue_without_a_worker_has_no_room() -> None:
    window = windows([], {"q": 2}, {})["q"]
    assert window == Window(size=0, unclaimed=2, workers=0, slots=0, free=0)
    assert window.room == 0


def test_the_order_of_queues_is_stable() -> None:
    names = [f"t{i}.c" for i in range(30)]
    found = windows([worker(1, 0, *names[10:])], dict.fromkeys(names[:20], 1), {})
    assert list(found) == sorted(names)
