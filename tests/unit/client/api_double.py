"""A small HTTP server on loopback that answers as a script says and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer; `hang_up` closes the connection without a word."""

    json: Any = None
    status: int = 200
    raw: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    hang_up: bool = False


Route = Reply | list[Reply] | Callable[[Asked], Reply]


class ApiDouble:
    """Routes by "METHOD path" below /api/v1; a list is answered in turn, the last for good."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []
        self.changed = threading.Condition()
        self._routes: dict[str, Route] = {}

    def on(self, route: str, reply: Route) -> None:
        self._routes[route] = reply

    def requests(self, route: str) -> list[Asked]:
        """Return what was asked of one route."""
        return [each for each in self.asked if f"{each.method} {each.path}" == route]

    def wait_for(self, route: str, count: int = 1) -> None:
        """Return once the route was asked `count` times; fails after a generous deadline."""
        with self.changed:
            asked = self.changed.wait_for(lambda: len(self.requests(route)) >= count, timeout=60)
        assert asked, f"{route} was not asked {count} times"

    def answer(self, asked: Asked) -> Reply:
        with self.changed:
            self.asked.append(asked)
            self.changed.notify_all()
            route = self._routes.get(f"{asked.method} {asked.path}")
            if isinstance(route, list):
                return route.pop(0) if len(route) > 1 else route[0]
        if callable(route):
            return route(asked)
        return route or problem(404, "not_found", f"no route {asked.method} {asked.path}")


def problem(status: int, code: str, detail: str, **more: Any) -> Reply:
    """Return a refusal in the form that the API has."""
    body = {"type": f"urn:{code}", "title": code, "status": status, "code": code, "detail": detail}
    return Reply({**body, **more}, status)


@contextmanager
def api_double() -> Iterator[ApiDouble]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve()

        do_PUT = do_POST = do_PATCH = do_DELETE = do_GET

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            reply = double.answer(
                Asked(
                    method=self.command,
                    path=parts.path.removeprefix("/api/v1"),
                    query=dict(parse_qsl(parts.query)),
                    headers={name.lower(): value for name, value in self.headers.items()},
                    body=json.loads(body) if body else None,
                )
            )
            self._send(reply)

        def _send(self, reply: Reply) -> None:
            self.close_connection = True
            if reply.hang_up:
                return
            content = json.dumps(reply.json).encode() if reply.raw is None else reply.raw
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    double = ApiDouble(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield double
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def dead_address() -> Iterator[str]:
    """Return an address where nothing listens while the block lasts."""
    import socket

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        yield f"http://127.0.0.1:{holder.getsockname()[1]}"
