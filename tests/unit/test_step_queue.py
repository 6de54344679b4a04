"""The step queues of a run in one process."""

from __future__ import annotations

import threading

from headway.protocol.messages import Dispatch
from headway.step_queue import StepQueue


def dispatch(attempt: str, queue: str = "t.default") -> Dispatch:
    team = queue.split(".", maxsplit=1)[0]
    return Dispatch(
        team=team, run="r", step="s", attempt=attempt, fence=1, dispatch_no=1, queue=queue
    )


def test_first_in_first_out_and_counted_by_queue() -> None:
    queue = StepQueue()
    queue.publish([dispatch("a1"), dispatch("a2", "t.big"), dispatch("a3")])
    assert queue.depths() == {"t.default": 2, "t.big": 1}
    taken = [queue.take() for _ in range(3)]
    assert [each.attempt for each in taken if each] == ["a1", "a2", "a3"]
    assert queue.depths() == {}


def test_who_waits_is_woken_by_a_dispatch_and_by_the_end() -> None:
    queue = StepQueue()
    taken: list[Dispatch | None] = []
    thread = threading.Thread(target=lambda: taken.extend([queue.take(), queue.take()]))
    thread.start()
    queue.publish([dispatch("a1")])
    queue.close()
    thread.join(30)
    assert not thread.is_alive()
    assert taken[-1] is None
    assert queue.take() is None
