"""Wake-ups are counted thread by thread, also of threads that end meanwhile."""

from __future__ import annotations

import os
import threading

from headway_coordinator.bench.idle import Wakeups


def test_a_thread_that_ends_takes_nothing_off_the_count() -> None:
    pause, end = threading.Event(), threading.Event()

    def sleeper() -> None:
        for _ in range(50):
            pause.wait(0.001)
        seen.set()
        end.wait()

    seen = threading.Event()
    thread = threading.Thread(target=sleeper)
    thread.start()
    seen.wait()
    woken = Wakeups(os.getpid())
    end.set()
    thread.join()
    woken.look()
    assert woken.count >= 0


def test_sleeping_counts() -> None:
    woken = Wakeups(os.getpid())
    pause = threading.Event()
    for _ in range(20):
        pause.wait(0.001)
    woken.look()
    assert woken.count >= 20
