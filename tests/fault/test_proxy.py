"""The fault proxy itself: what it does to a connection is what it says."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from tests.servers.proxy import FaultProxy
from tests.servers.waiting import wait_until


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        try:
            while data := self.request.recv(1024):
                self.request.sendall(data)
        except ConnectionError:
            pass


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        made = FaultProxy("127.0.0.1", server.server_address[1])
        yield made
        made.close()
        server.shutdown()
        thread.join()


def _connect(proxy: FaultProxy) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
    made.sendall(b"hello")
    return made


def _connected(proxy: FaultProxy) -> socket.socket:
    made = _connect(proxy)
    assert made.recv(5) == b"hello"
    return made


def test_everything_goes_through(proxy: FaultProxy) -> None:
    with _connected(proxy) as client:
        client.sendall(b"x" * 500_000)
        received = 0
        while received < 500_000:
            received += len(client.recv(65_536))
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    wait_until(lambda: proxy.connections() == 0, what="the end of the connection")


def test_a_cut_resets_and_refuses_until_it_is_restored(proxy: FaultProxy) -> None:
    with _connected(proxy) as client:
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        _connect(proxy)
    proxy.restore()
    _connected(proxy).close()


def test_a_reset_welcomes_new_connections(proxy: FaultProxy) -> None:
    with _connected(proxy) as client:
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    _connected(proxy).close()


def test_refusing_leaves_what_is_connected(proxy: FaultProxy) -> None:
    with _connected(proxy) as client:
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            _connect(proxy)
        client.sendall(b"still")
        assert client.recv(5) == b"still"


def test_a_blackhole_holds_what_is_sent_and_gives_it_in_the_end(proxy: FaultProxy) -> None:
    with _connected(proxy) as old:
        proxy.blackhole()
        old.sendall(b"held")
        with _connect(proxy) as new:
            for client in (old, new):
                client.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    client.recv(5)
                client.settimeout(10)
            proxy.restore()
            assert old.recv(4) == b"held"
            assert new.recv(5) == b"hello"


def test_a_blackhole_can_be_cut(proxy: FaultProxy) -> None:
    with _connected(proxy) as client:
        proxy.blackhole()
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_latency_delays(proxy: FaultProxy) -> None:
    with _connected(proxy) as client:
        proxy.latency(0.4)
        client.settimeout(0.2)
        client.sendall(b"slow")
        with pytest.raises(TimeoutError):
            client.recv(4)
        client.settimeout(10)
        assert client.recv(4) == b"slow"


def test_a_server_that_is_away_resets(proxy: FaultProxy) -> None:
    gone = FaultProxy("127.0.0.1", 9)
    try:
        with pytest.raises(ConnectionError), _connect(gone) as client:
            client.recv(1)
    finally:
        gone.close()
