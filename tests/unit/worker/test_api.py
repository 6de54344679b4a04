from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from headway.errors import UnavailableError
from headway_worker.api import Api

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    """Answers each request by the next of `answers`; None: never."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.reads: list[bytes] = []
        self.answers: list[bytes | None] = []
        self.open: list[socket.socket] = []
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.open.append(connection)
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):  # closed at the end of a test
            while data := connection.recv(65536):
                self.reads.append(data)
                answer = self.answers.pop(0)
                if answer is not None:
                    connection.sendall(answer)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.open:
            connection.close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def test_head_and_body_go_in_one_write(server: Server) -> None:
    api = Api((server.url,), "token", timeout=10)
    server.answers = [ANSWER, ANSWER]
    assert api.send("claims", b'{"a":1}') == b"{}"
    assert api.send("claims", b'{"a":2}') == b"{}"
    assert [read.partition(b"\r\n\r\n")[2] for read in server.reads] == [b'{"a":1}', b'{"a":2}']
    assert len(server.open) == 1, "the connection is kept"
    api.close()


@pytest.mark.parametrize("kept", [False, True])
def test_no_answer_in_time_is_an_unavailable_api(server: Server, kept: bool) -> None:
    api = Api((server.url,), "token", timeout=0.2)
    if kept:
        server.answers = [ANSWER]
        api.send("claims", b"{}")
    server.answers = [None]
    with pytest.raises(UnavailableError, match="no coordinator can be reached"):
        api.send("claims", b"{}")
    assert server.answers == [], "it was asked once"
    assert len(server.open) == 1
    api.close()


def test_a_kept_connection_that_was_closed_is_replaced(server: Server) -> None:
    api = Api((server.url,), "token", timeout=10)
    server.answers = [ANSWER]
    api.send("claims", b"{}")
    server.open[0].shutdown(socket.SHUT_RDWR)
    server.answers = [ANSWER]
    assert api.send("claims", b"{}") == b"{}"
    assert len(server.open) == 2
    api.close()
