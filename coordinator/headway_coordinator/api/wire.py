"""How answers leave: head and body together, where both are ready, and with the time.

uvicorn writes an answer's head and its body apart. Each write is a call of the kernel that sends a
packet and wakes whoever reads it, so a short answer would cost both sides twice. And it makes the
Date header once a second, asked or not, which an idle process need not wake for.
"""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from functools import lru_cache
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from headway.clock import Clock, SystemClock

_AT_ONCE_BYTES = 64 * 1024


class GatheringProtocol(HttpToolsProtocol):
    """uvicorn's protocol on a transport that gathers; it dates answers when requests come."""

    clock: Clock = SystemClock()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        gathering = Gathering(transport, self.loop)
        super().connection_made(cast("asyncio.Transport", gathering))

    def data_received(self, data: bytes) -> None:
        # One list for all connections: RFC 9110 wants the date to the second.
        self.server_state.default_headers = _dated(int(self.clock.now().timestamp()))
        super().data_received(data)


@lru_cache(maxsize=1)
def _dated(second: int) -> list[tuple[bytes, bytes]]:
    return [(b"date", formatdate(second, usegmt=True).encode())]


class Gathering:
    """A transport: what is written in one turn of the event loop leaves at its end, in one piece.

    More than 64 KiB leave at once, so that the transport below still tells when it has too much.
    """

    def __init__(self, below: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._below = below
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)
        self._size += len(data)
        if self._size > _AT_ONCE_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._below.close()

    def is_closing(self) -> bool:
        return self._below.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)

    def _flush(self) -> None:
        parts, self._parts, self._size = self._parts, [], 0
        if parts and not self._below.is_closing():
            self._below.write(b"".join(parts))
