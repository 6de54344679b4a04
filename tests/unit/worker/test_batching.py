from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from headway_worker.batching import Batcher


class Sender:
    """Doubles what it is sent; each send waits until the test lets it go on."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.sending = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.sending.release()
        assert self.go_on.acquire(timeout=10)
        if 13 in items:
            raise OSError("unlucky")
        return [item * 2 for item in items]


def test_what_arrives_during_a_send_goes_together_in_the_next() -> None:
    sender = Sender()
    batcher = Batcher(sender)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(batcher.submit, 1)
        assert sender.sending.acquire(timeout=10)
        others = [pool.submit(batcher.submit, number) for number in (2, 3, 4)]
        while batcher.waiting() < 3:
            pass
        sender.go_on.release(2)
        assert first.result(10) == 2
        assert [future.result(10) for future in others] == [4, 6, 8]
    assert sender.batches[0] == [1]
    assert sorted(sender.batches[1]) == [2, 3, 4]
    assert len(sender.batches) == 2


def test_a_failed_send_fails_its_own_batch_only() -> None:
    sender = Sender()
    batcher = Batcher(sender)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(batcher.submit, 13)
        assert sender.sending.acquire(timeout=10)
        second = pool.submit(batcher.submit, 5)
        while batcher.waiting() < 1:
            pass
        sender.go_on.release(2)
        with pytest.raises(OSError, match="unlucky"):
            first.result(10)
        assert second.result(10) == 10


def test_no_batch_is_larger_than_allowed() -> None:
    sender = Sender()
    batcher = Batcher(sender, most=2)
    with ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(batcher.submit, 0)]
        assert sender.sending.acquire(timeout=10)
        futures += [pool.submit(batcher.submit, number) for number in range(1, 6)]
        while batcher.waiting() < 5:
            pass
        sender.go_on.release(4)
        assert sorted(future.result(10) for future in futures) == [0, 2, 4, 6, 8, 10]
    assert [len(batch) for batch in sender.batches] == [1, 2, 2, 1]


def test_many_threads_all_get_their_own_result() -> None:
    batcher: Batcher[int, int] = Batcher(lambda items: [item + 1 for item in items])
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(batcher.submit, range(2000))) == list(range(1, 2001))


def test_what_arrives_while_a_send_gathers_goes_with_it() -> None:
    gathering, go_on = threading.Event(), threading.Event()
    batches: list[list[int]] = []

    def gather() -> None:
        gathering.set()
        assert go_on.wait(10)

    def send(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        return list(items)

    batcher = Batcher(send, gather=gather)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(batcher.submit, 1)
        assert gathering.wait(10)
        second = pool.submit(batcher.submit, 2)
        while batcher.waiting() < 2:
            pass
        go_on.set()
        assert (first.result(10), second.result(10)) == (1, 2)
    assert batches == [[1, 2]]
