"""Waiting on a condition instead of on time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from typing import Literal, TypeVar

Answer = TypeVar("Answer")

_POLL_SECONDS = 0.02


class NeverHappenedError(AssertionError):
    """What a test waited for did not come about within its deadline."""


def wait_until(
    condition: Callable[[], Answer | Literal[False] | None],
    *,
    within: float = 30.0,
    what: str = "the condition",
) -> Answer:
    """Return the first true answer of `condition`.

    The deadline only ends a hopeless wait; nothing should be concluded from how long it took.
    Raises NeverHappenedError.
    """
    pause = threading.Event()
    for turn in count():
        answer = condition()
        if answer:
            return answer
        if turn * _POLL_SECONDS >= within:
            break
        pause.wait(_POLL_SECONDS)
    raise NeverHappenedError(f"{what} did not happen within {within:g} s")
