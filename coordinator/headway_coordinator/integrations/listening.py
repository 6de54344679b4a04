"""The listener of /metrics: it sleeps until somebody asks, or until it is to end."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

_PATIENCE_S = 3600.0


class PatientServer(ThreadingWSGIServer):
    """Python's own looks twice a second whether it is to end; this one is woken for it."""

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        self.address_family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
        super().__init__(address, handler)

    def serve_forever(self, poll_interval: float = _PATIENCE_S) -> None:
        super().serve_forever(poll_interval)

    def shutdown(self) -> None:
        """Stop serving; returns when that has come about."""
        asking = threading.Thread(target=super().shutdown, name="metrics-end", daemon=True)
        asking.start()
        address = self.socket.getsockname()[:2]
        while asking.is_alive():
            with suppress(OSError):  # any connection ends the wait
                socket.create_connection(address, timeout=1).close()
            asking.join(0.05)


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """A scrape is no event."""


def serve_registry(registry: CollectorRegistry, host: str, port: int) -> PatientServer:
    """Serve the registry on a thread of its own.

    Raises:
        OSError: the address is taken or not this machine's.
    """
    server = make_server(host, port, make_wsgi_app(registry), PatientServer, handler_class=_Quiet)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
