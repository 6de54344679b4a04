"""What is written in one turn leaves together; nothing is held back, lost or reordered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from headway_coordinator.api.wire import Gathering


class Below:
    """A transport that keeps what came to it."""

    def __init__(self) -> None:
        self.came: list[bytes | str] = []
        self.closing = False

    def write(self, data: bytes) -> None:
        self.came.append(data)

    def close(self) -> None:
        self.came.append("closed")
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def get_extra_info(self, name: str) -> str:
        return f"the {name}"


def came(*turns: Callable[[Any, Below], None]) -> list[bytes | str]:
    """Return what left when each of the turns was one of the event loop's."""

    async def take() -> list[bytes | str]:
        below = Below()
        transport = cast("asyncio.Transport", below)
        gathering = Gathering(transport, asyncio.get_running_loop())
        for turn in turns:
            turn(gathering, below)
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        return below.came

    return asyncio.run(take())


def written(*parts: bytes) -> Callable[[Any, Below], None]:
    def turn(gathering: Any, _: Below) -> None:
        for part in parts:
            gathering.write(part)

    return turn


def test_a_head_and_its_body_leave_in_one_piece() -> None:
    assert came(written(b"head", b"body")) == [b"headbody"]


def test_what_comes_a_turn_later_leaves_by_itself() -> None:
    assert came(written(b"head"), written(b"one"), written(b"two", b"three")) == [
        b"head",
        b"one",
        b"twothree",
    ]


def test_what_is_large_leaves_at_once_behind_what_waits() -> None:
    large = b"x" * (64 * 1024)

    def turn(gathering: Any, below: Below) -> None:
        gathering.write(b"head")
        gathering.write(large)
        assert below.came == [b"head" + large]
        gathering.write(b"end")

    assert came(turn) == [b"head" + large, b"end"]


def test_what_was_written_leaves_before_the_transport_closes() -> None:
    def turn(gathering: Any, _: Below) -> None:
        gathering.write(b"last")
        gathering.close()
        assert gathering.is_closing()

    assert came(turn) == [b"last", "closed"]


def test_nothing_is_written_to_a_connection_that_broke() -> None:
    def turn(gathering: Any, below: Below) -> None:
        gathering.write(b"late")
        below.closing = True

    assert came(turn) == []


def test_the_rest_is_the_transport_s_below() -> None:
    def turn(gathering: Any, _: Below) -> None:
        assert gathering.get_extra_info("peer") == "the peer"

    assert came(turn) == []
