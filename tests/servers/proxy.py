"""A TCP proxy that breaks what goes through it: cut, refuse, blackhole, latency, restore.

It runs an asyncio loop on a thread of its own, so that a test's thread may block. Its port stays
the same for its whole life, whatever is done to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.servers.sources import free_port

Answer = TypeVar("Answer")

_CHUNK_BYTES = 64 * 1024
_CALL_SECONDS = 10.0
_NO_LINGER = struct.pack("ii", 1, 0)  # Closing sends a reset instead of an end.


class FaultProxy:
    """Forwards a loopback port to a server. All methods may be called from any thread."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.port = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._state = _State()
        self._call(self._listen())

    @property
    def address(self) -> str:
        """`host:port`, to be used instead of the server's."""
        return f"127.0.0.1:{self.port}"

    def connections(self) -> int:
        """Return how many connections go through."""
        return len(self._state.pairs)

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        self._call(self._cut())

    def reset(self) -> None:
        """Reset every connection; new ones are welcome."""
        self._call(self._reset())

    def refuse(self) -> None:
        """Refuse new connections; those that are there go on."""
        self._call(self._close_listener())

    def blackhole(self) -> None:
        """Let nothing through in either direction, without telling anybody.

        Connections stay open, new ones are accepted, and what is sent is held until `restore`.
        """
        self._call(self._hold())

    def latency(self, seconds: float) -> None:
        """Deliver every piece so many seconds late, in both directions."""
        self._state.delay = seconds

    def restore(self) -> None:
        """Let everything through again, what was held first."""
        self._call(self._restore())

    def close(self) -> None:
        """End every connection and the thread. A second call does nothing."""
        if self._thread.is_alive():
            self._call(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_CALL_SECONDS)
            self._loop.close()

    def _call(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_SECONDS)

    # --- on the loop's thread ---------------------------------------------------------------------

    async def _listen(self) -> None:
        if self._state.server is None:
            self._state.server = await asyncio.start_server(
                self._accept, "127.0.0.1", self.port, limit=_CHUNK_BYTES
            )

    async def _close_listener(self) -> None:
        server, self._state.server = self._state.server, None
        if server is not None:
            server.close()

    async def _cut(self) -> None:
        await self._close_listener()
        await self._reset()

    async def _reset(self) -> None:
        for pair in list(self._state.pairs):
            pair.reset()

    async def _hold(self) -> None:
        self._state.open.clear()

    async def _restore(self) -> None:
        self._state.delay = 0.0
        self._state.open.set()
        await self._listen()

    async def _end(self) -> None:
        await self._cut()
        # One that was accepted a moment ago must have begun, or nobody would close it.
        await _some_turns()
        tasks = list(self._state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await _some_turns()  # an abort closes its socket with the loop's next turn

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._state.tasks.add(task)
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # only `close` cancels; asyncio would log it as a failure of this callback
        finally:
            self._state.tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._state.open.wait()
        try:
            there_reader, there_writer = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(writer)
            return
        pair = _Pair(writer, there_writer)
        self._state.pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(reader, there_writer, pair))
                group.create_task(self._pass_on(there_reader, writer, pair))
        finally:
            self._state.pairs.discard(pair)
            there_writer.transport.abort()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: _Pair
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                if self._state.delay:
                    await asyncio.sleep(self._state.delay)
                await self._state.open.wait()
                writer.write(data)
                await writer.drain()
            if not pair.is_reset:
                writer.write_eof()
            return
        pair.reset()


async def _some_turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@dataclass(slots=True)
class _State:
    open: asyncio.Event = field(default_factory=asyncio.Event)
    delay: float = 0.0
    server: asyncio.Server | None = None
    pairs: set[_Pair] = field(default_factory=set)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.open.set()


@dataclass(slots=True, eq=False)
class _Pair:
    """The two ends of one connection through the proxy."""

    here: asyncio.StreamWriter
    there: asyncio.StreamWriter
    is_reset: bool = False

    def reset(self) -> None:
        self.is_reset = True
        _reset(self.here)
        _reset(self.there)


def _reset(writer: asyncio.StreamWriter) -> None:
    made: socket.socket | None = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        if made is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    writer.transport.abort()
