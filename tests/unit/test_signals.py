"""A signal that comes at the worst moment, between two instructions of `Event.wait`."""

from __future__ import annotations

import subprocess
import sys
from queue import SimpleQueue

from headway.signals import Handler

# The event's own lock is held when the signal comes, as it is for a moment in every `wait`. A
# handler that called `stop.set` itself would hang here.
AT_THE_WORST_MOMENT = """
import os, signal
from headway_coordinator.supervision import stop_on_signals

stop = stop_on_signals()
with stop._cond:
    os.kill(os.getpid(), signal.SIGTERM)
assert stop.wait(20)
print("ended in good order")
"""


def test_a_signal_while_the_event_is_locked_ends_the_process() -> None:
    argv = [sys.executable, "-c", AT_THE_WORST_MOMENT]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.returncode) == ("ended in good order\n", 0), done.stderr


def test_each_signal_is_told_once() -> None:
    told: SimpleQueue[str] = SimpleQueue()
    names = iter(["first", "second", "third"])
    handler = Handler(lambda: told.put(next(names)))
    handler(15, None)
    handler(2, None)
    assert [told.get(timeout=10), told.get(timeout=10)] == ["first", "second"]
    handler.close()
    assert told.empty()
