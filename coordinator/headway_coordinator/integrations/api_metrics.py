"""The API process's own figures; a listener apart, so that whoever scrapes needs no token."""

from __future__ import annotations

from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter

from headway.errors import UnavailableError
from headway.listening import host_and_port
from headway_coordinator.integrations.listening import serve_registry


class ApiMetrics:
    """Counts what one API process refused since it started."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._refused = Counter(
            "headway_api_completions_refused",
            "Reports of workers that were refused.",
            ["reason"],
            registry=self.registry,
        )

    def refused(self, kind: str) -> None:
        self._refused.labels(kind).inc()

    def serve(self, listen: str) -> tuple[WSGIServer, int]:
        """Start the listener; return it and the port it has.

        Raises:
            UnavailableError: the address is taken or not this machine's.
        """
        try:
            server = serve_registry(self.registry, *host_and_port(listen))
        except (OSError, ValueError) as error:
            raise UnavailableError(
                "address_in_use",
                f"cannot listen for metrics on {listen}: {error}",
                "set HEADWAY_API_METRICS_LISTEN to a free address",
            ) from error
        return server, int(server.server_port)
