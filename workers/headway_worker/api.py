"""The coordinator's HTTP API, as a worker uses it, over several addresses.

On `http.client`: a claim is on the way of every step, and here a general client would cost four
times the processor time (0.1 against 0.4 ms a request, measured). Every request of a worker may be
repeated, so a kept connection that the server closed meanwhile is simply tried anew.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode, urlsplit

from headway.errors import ConflictError, ForbiddenError, HeadwayError, UnavailableError
from headway.protocol.messages import Message, MessageError, parse

M = TypeVar("M", bound=Message)
_BASE = "/worker/v1/"
_TOO_MANY = 429
_ANSWER_LIMIT_BYTES = 64 * 1024 * 1024
_CONNECT_SECONDS = 3.0
_KEPT = 8
_JSON = {"Content-Type": "application/json"}
_BROKEN = (OSError, http.client.HTTPException)


class Posts(Protocol):
    """The part of an `Api` that sends messages."""

    def post(self, path: str, message: Message, answer: type[M]) -> M:
        """Return the parsed answer to a message. Raises as `Api.post`."""


class Api:
    """Kept-alive connections to the address that worked last; safe to use from many threads."""

    def __init__(self, urls: tuple[str, ...], token: str, *, timeout: float = 10.0) -> None:
        self._addresses = [_Address(url, timeout) for url in urls]
        self._preferred = 0
        self._headers = {"Authorization": f"Bearer {token}"}

    def post(self, path: str, message: Message, answer: type[M]) -> M:
        """Return the parsed answer to a message.

        Raises:
            UnavailableError: no address answers, or only with a server error; try again later.
            ConflictError: 409, the present state forbids it.
            ForbiddenError: any other refusal; `status` says which.
        """
        return parsed(self.send(path, message.model_dump_json().encode()), answer)

    def send(self, path: str, body: bytes) -> bytes:
        """Post JSON and return the answer's bytes, of the first address that gives one.

        Raises as `post`.
        """
        failure: UnavailableError | None = None
        for turn in range(len(self._addresses)):
            index = (self._preferred + turn) % len(self._addresses)
            try:
                answer = self._addresses[index].exchange(path, body, self._headers | _JSON)
            except UnavailableError as error:
                failure = failure or error
            else:
                self._preferred = index
                return answer
        assert failure is not None
        raise failure

    def put(
        self,
        path: str,
        content: Iterable[bytes],
        *,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        answer: type[M],
    ) -> M:
        """Send a stream to the preferred address and return the answer. Raises as `post`."""
        target = f"{path}?{urlencode(params)}"
        with self._stream("PUT", target, headers, content) as response:
            return parsed(response.read(), answer)

    @contextmanager
    def download(self, path: str, headers: Mapping[str, str]) -> Iterator[Iterator[bytes]]:
        """Give the chunks of a stored file. Raises as `post`."""
        with self._stream("GET", path, headers, None) as response:
            yield iter(lambda: response.read(256 * 1024), b"")

    def close(self) -> None:
        for address in self._addresses:
            address.close()

    @contextmanager
    def _stream(
        self, method: str, path: str, headers: Mapping[str, str], content: Iterable[bytes] | None
    ) -> Iterator[http.client.HTTPResponse]:
        """Give the answer to a request whose body cannot be sent twice."""
        address = self._addresses[self._preferred]
        connection: _Joining | None = None
        try:
            connection = address.connect()
            connection.request(
                method,
                address.path + path,
                content,
                {**self._headers, **headers},
                encode_chunked=content is not None,
            )
            response = connection.getresponse()
            if response.status >= 300:
                raise refusal(response.status, response.read())
            yield response
        except _BROKEN as error:
            self._preferred = (self._preferred + 1) % len(self._addresses)
            raise _unreachable(error) from error
        finally:
            if connection is not None:
                connection.close()


class _Joining(http.client.HTTPConnection):
    """A connection that can send head and body in one write: each costs the others their turn."""

    _held: list[bytes] | None = None

    @contextmanager
    def in_one_write(self) -> Iterator[None]:
        """Hold what is sent within, and send it as one."""
        self._held = []
        try:
            yield
            data = b"".join(self._held)
        finally:
            self._held = None
        self.send(data)

    def send(self, data: Any) -> None:
        if self._held is None:
            super().send(data)
        else:
            self._held.append(bytes(data))


class _Connection(_Joining):
    pass


class _SecureConnection(_Joining, http.client.HTTPSConnection):
    pass


def _let_the_kernel_time(connection: socket.socket, seconds: float) -> None:
    """Let each send and receive fail after so long, without Python's own poll before each."""
    limit = struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000))
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


class _Address:
    """One address of the API and the connections kept to it."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UnavailableError(
                "bad_address",
                f"{url} is no address of an API",
                "HEADWAY_API_URL must look like https://host:port, or several with commas.",
            )
        self._secure = ssl.create_default_context() if parts.scheme == "https" else None
        self._host = parts.hostname
        self._port = parts.port or (443 if self._secure else 80)
        self._timeout = timeout
        self._lock = threading.Lock()
        self._kept: list[_Joining] = []
        self.path = parts.path.rstrip("/") + _BASE

    def exchange(self, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Return the answer's body. Raises as `Api.post`."""
        give_up = time.monotonic() + self._timeout
        while True:
            with self._lock:
                kept = self._kept.pop() if self._kept else None
            try:
                return self._exchange(kept or self.connect(), path, body, headers)
            except _BROKEN as error:
                # The kernel's time-outs look like a connection that was closed.
                if kept is None or time.monotonic() >= give_up:
                    raise _unreachable(error) from error

    def connect(self) -> _Joining:
        """Return a new connection. Raises OSError."""
        connection: _Joining
        if self._secure is not None:
            connection = _SecureConnection(
                self._host, self._port, timeout=self._timeout, context=self._secure
            )
        else:
            connection = _Connection(self._host, self._port, timeout=self._timeout)
        connection.timeout = min(_CONNECT_SECONDS, self._timeout)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._secure is not None:
            connection.sock.settimeout(self._timeout)
        else:
            _let_the_kernel_time(connection.sock, self._timeout)
        return connection

    def close(self) -> None:
        with self._lock:
            kept, self._kept = self._kept, []
        for connection in kept:
            connection.close()

    def _exchange(
        self,
        connection: _Joining,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
    ) -> bytes:
        try:
            with connection.in_one_write():
                connection.request("POST", self.path + path, body, dict(headers))
            response = connection.getresponse()
            answer = response.read()
        except BaseException:
            connection.close()
            raise
        self._keep(connection, response)
        if response.status >= 300:
            raise refusal(response.status, answer)
        return answer

    def _keep(self, connection: _Joining, response: http.client.HTTPResponse) -> None:
        with self._lock:
            if not response.will_close and len(self._kept) < _KEPT:
                self._kept.append(connection)
                return
        connection.close()


def refusal(status: int, body: bytes) -> HeadwayError:
    code, sentence = _problem(body)
    if status >= 500 or status == _TOO_MANY:
        return UnavailableError(code, f"the coordinator answered {status}: {sentence}")
    if status == 409:
        return ConflictError(code, sentence)
    return ForbiddenError(code, f"the coordinator answered {status}: {sentence}", status=status)


def _problem(body: bytes) -> tuple[str, str]:
    text = body[:2000].decode(errors="replace")
    try:
        problem = json.loads(body)
        sentence = problem.get("detail") or problem.get("title") or text
        return str(problem.get("code") or "refused")[:64], str(sentence)[:500]
    except (ValueError, AttributeError):
        return "refused", text[:200]


def parsed(body: bytes, answer: type[M]) -> M:
    try:
        return parse(answer, body, limit=_ANSWER_LIMIT_BYTES)
    except MessageError as error:
        raise UnavailableError("bad_answer", f"the coordinator's answer is odd: {error}") from error


def _unreachable(error: BaseException) -> UnavailableError:
    return UnavailableError(
        "unreachable",
        f"no coordinator can be reached: {type(error).__name__}: {error}",
        "Check HEADWAY_API_URL and that a coordinator is up.",
    )
