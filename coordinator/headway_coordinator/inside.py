"""The API reached by function calls instead of a socket: same app, same gate, same answers."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import IO, Any
from urllib.parse import unquote, urlsplit

import httpx2
from starlette.types import ASGIApp

from headway.local_parts import Answer

_IN_MEMORY_BYTES = 8 * 1024 * 1024  # a larger answer, such as an artifact, goes to a file
_CHUNK_BYTES = 256 * 1024
_WITHIN_SECONDS = 600.0


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="api", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def run(self, coroutine: Any) -> None:
        """Run a coroutine to its end, from another thread."""
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_WITHIN_SECONDS)

    def close(self) -> None:
        """End what still runs, and the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
        if not self._loop.is_running():
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()


class InsideTransport(httpx2.BaseTransport):
    """Calls an ASGI app; `exchange` does the same without httpx2's requests."""

    def __init__(self, app: ASGIApp, loop: Loop) -> None:
        self._app = app
        self._loop = loop

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        target = request.url.raw_path.decode("ascii")
        call = _Call(request.method, target, headers, [request.read()])
        try:
            self._loop.run(self._app(call.scope(), call.receive, call.send))
            content = call.body.read()
        finally:
            call.body.close()
        return httpx2.Response(call.status, headers=call.headers, content=content)

    @contextmanager
    def exchange(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        content: bytes | Iterable[bytes] | None,
    ) -> Iterator[Answer]:
        """Send a request and give its answer. Implements `headway.local_parts.Exchange`."""
        parts = [content] if isinstance(content, bytes) else content or []
        given = {name.lower(): value for name, value in headers.items()}
        call = _Call(method, target, given, parts)
        try:
            self._loop.run(self._app(call.scope(), call.receive, call.send))
            yield Answer(call.status, iter(lambda: call.body.read(_CHUNK_BYTES), b""))
        finally:
            call.body.close()


class _Call:
    """One request of the ASGI protocol and what was answered."""

    def __init__(
        self, method: str, target: str, headers: Mapping[str, str], content: Iterable[bytes]
    ) -> None:
        self._method = method
        self._target = target
        self._headers = headers
        self._content = iter(content)
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115

    def scope(self) -> dict[str, Any]:
        parts = urlsplit(self._target)
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": self._method,
            "scheme": "http",
            "path": unquote(parts.path),
            "raw_path": parts.path.encode("ascii"),
            "query_string": parts.query.encode("ascii"),
            "root_path": "",
            "headers": [
                (k.encode("latin-1"), v.encode("latin-1")) for k, v in self._headers.items()
            ],
            "client": ("inside", 0),
            "server": ("inside", 0),
        }

    async def receive(self) -> dict[str, Any]:
        """Give the next part of the body; it may come from a file, so not in the loop's thread."""
        chunk = await asyncio.to_thread(next, self._content, None)
        more = chunk is not None
        return {"type": "http.request", "body": chunk or b"", "more_body": more}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", []))
        elif message["type"] == "http.response.body":
            self.body.write(message.get("body", b""))
            if not message.get("more_body"):
                self.body.seek(0)
