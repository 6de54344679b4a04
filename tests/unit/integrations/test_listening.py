"""The listener of /metrics answers, ends when asked, and gives its port back."""

from __future__ import annotations

import socket
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, Counter

from headway_coordinator.integrations.listening import serve_registry


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_it_answers_until_it_is_ended_however_long_it_would_have_slept(host: str) -> None:
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc()
    server = serve_registry(registry, host, 0)
    port = server.server_port
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert "things_total 1.0" in answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_taken_address_is_told() -> None:
    server = serve_registry(CollectorRegistry(), "127.0.0.1", 0)
    try:
        with pytest.raises(OSError, match="in use"):
            serve_registry(CollectorRegistry(), "127.0.0.1", server.server_port)
    finally:
        server.shutdown()
        server.server_close()
