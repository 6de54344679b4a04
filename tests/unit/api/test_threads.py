"""Calls on threads: what comes back, and what happens when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from headway_coordinator.api.threads import Threads


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads(2, "test")
    yield made
    made.close()


def test_a_call_returns_what_it_returns_on_another_thread(threads: Threads) -> None:
    async def ask() -> tuple[int, int]:
        return await threads.run(lambda a, b: (threading.get_ident(), a + b), 1, 2)

    thread, total = asyncio.run(ask())
    assert total == 3
    assert thread != threading.get_ident()


def test_what_a_call_raises_is_raised(threads: Threads) -> None:
    async def ask() -> None:
        await threads.run(int, "no number")

    with pytest.raises(ValueError, match="no number"):
        asyncio.run(ask())


def test_as_many_calls_go_on_at_once_as_there_are_threads(threads: Threads) -> None:
    meeting = threading.Barrier(2)  # broken after its timeout if the two never meet

    async def ask() -> list[int]:
        return await asyncio.gather(*(threads.run(meeting.wait, 10) for _ in range(2)))

    assert sorted(asyncio.run(ask())) == [0, 1]


def test_a_call_whose_caller_gave_up_goes_on_and_harms_nobody(threads: Threads) -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def call() -> None:
        begun.set()
        go_on.wait(10)
        ended.set()

    async def ask() -> str:
        task = asyncio.create_task(threads.run(call))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        await asyncio.to_thread(ended.wait, 10)
        return await threads.run(str, 7)

    assert asyncio.run(ask()) == "7"
