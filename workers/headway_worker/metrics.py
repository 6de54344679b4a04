"""The worker's figures for Prometheus, in its text format, on a listener of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from headway.errors import UnavailableError
from headway.listening import host_and_port

# A figure by its name; where there are several, each by its reason.
Figures = Mapping[str, float | Mapping[str, int]]
_HELP = {
    "headway_worker_slots": "Steps that may run at the same time.",
    "headway_worker_slots_free": "Slots that no step holds.",
    "headway_worker_spool_completions": "Ended attempts that the coordinator has not acknowledged.",
    "headway_worker_lease_seconds": "Seconds for which the leases of running steps are trusted.",
    "headway_worker_silence_seconds": "Seconds since the worker heard itself through the broker.",
    "headway_worker_messages_refused_total": "Messages that were dropped, as they were no step's.",
}


class MetricsServer:
    """Answers `/metrics` until it is closed."""

    def __init__(self, listen: str, figures: Callable[[], Figures]) -> None:
        handler = type("Handler", (_Handler,), {"figures": staticmethod(figures)})
        try:
            self._server = ThreadingHTTPServer(host_and_port(listen), handler)
        except (OSError, ValueError) as error:
            raise UnavailableError(
                "metrics_listen",
                f"metrics cannot be served on {listen}: {error}",
                "Set HEADWAY_METRICS_LISTEN to a free host:port, or to nothing.",
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="metrics", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


def exposition(figures: Figures) -> str:
    """Return the figures in Prometheus's text format."""
    lines = []
    for name, value in figures.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# HELP {name} {_HELP[name]}", f"# TYPE {name} {kind}"]
        if isinstance(value, Mapping):
            lines += [f'{name}{{reason="{reason}"}} {count}' for reason, count in value.items()]
        else:
            lines.append(f"{name} {value:g}")
    return "\n".join(lines) + "\n"


class _Handler(BaseHTTPRequestHandler):
    figures: Callable[[], Figures]

    def do_GET(self) -> None:
        found = self.path == "/metrics"
        body = exposition(self.figures()).encode() if found else b"only /metrics is here\n"
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """A scrape is no event."""
