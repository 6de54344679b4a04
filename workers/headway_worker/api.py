"""The coordinator's HTTP API, as a worker uses it, over several addresses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import httpx2

from headway.errors import ConflictError, ForbiddenError, UnavailableError
from headway.protocol.messages import Message, MessageError, parse

M = TypeVar("M", bound=Message)
_TOO_MANY = 429


class Api:
    """One kept-alive client; each sender thread has its own. Remembers the address that works."""

    def __init__(self, urls: tuple[str, ...], token: str, *, timeout: float = 10.0) -> None:
        self._urls = [url.rstrip("/") + "/worker/v1/" for url in urls]
        self._preferred = 0
        self._client = httpx2.Client(
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx2.Timeout(timeout, connect=min(3.0, timeout)),
            trust_env=False,
            follow_redirects=False,
        )

    def post(self, path: str, message: Message, answer: type[M]) -> M:
        """Return the parsed answer to a message.

        Raises:
            UnavailableError: no address answers, or only with a server error; try again later.
            ConflictError: 409, the present state forbids it.
            ForbiddenError: any other refusal; `status` says which.
        """
        body = message.model_dump_json().encode()
        headers = {"Content-Type": "application/json"}
        response = self._any_address("POST", path, content=body, headers=headers)
        return _parsed(response, answer)

    def send(self, path: str, body: bytes) -> None:
        """Post JSON whose answer does not matter. Raises as `post`."""
        headers = {"Content-Type": "application/json"}
        self._any_address("POST", path, content=body, headers=headers)

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
        url = self._urls[self._preferred] + path
        try:
            response = self._client.put(
                url, content=iter(content), params=dict(params), headers=dict(headers)
            )
        except httpx2.TransportError as error:
            self._preferred = (self._preferred + 1) % len(self._urls)
            raise _unreachable(error) from error
        return _parsed(_checked(response), answer)

    @contextmanager
    def download(self, path: str, headers: Mapping[str, str]) -> Iterator[Iterator[bytes]]:
        """Give the chunks of a stored file. Raises as `post`."""
        url = self._urls[self._preferred] + path
        try:
            with self._client.stream("GET", url, headers=dict(headers)) as response:
                if response.status_code >= 400:
                    response.read()
                _checked(response)
                yield response.iter_bytes()
        except httpx2.TransportError as error:
            self._preferred = (self._preferred + 1) % len(self._urls)
            raise _unreachable(error) from error

    def close(self) -> None:
        self._client.close()

    def _any_address(
        self, method: str, path: str, *, content: bytes, headers: Mapping[str, str]
    ) -> httpx2.Response:
        failure: UnavailableError | None = None
        for turn in range(len(self._urls)):
            index = (self._preferred + turn) % len(self._urls)
            try:
                response = self._client.request(
                    method, self._urls[index] + path, content=content, headers=dict(headers)
                )
                checked = _checked(response)
            except httpx2.TransportError as error:
                failure = _unreachable(error)
            except UnavailableError as error:
                failure = error
            else:
                self._preferred = index
                return checked
        assert failure is not None
        raise failure


def _checked(response: httpx2.Response) -> httpx2.Response:
    status = response.status_code
    if status < 300:
        return response
    code, sentence = _problem(response)
    if status >= 500 or status == _TOO_MANY:
        raise UnavailableError(code, f"the coordinator answered {status}: {sentence}")
    if status == 409:
        raise ConflictError(code, sentence)
    raise ForbiddenError(code, f"the coordinator answered {status}: {sentence}", status=status)


def _problem(response: httpx2.Response) -> tuple[str, str]:
    try:
        body = response.json()
        code = str(body.get("code") or "refused")
        return code, str(body.get("detail") or body.get("title") or body)[:500]
    except (ValueError, AttributeError):
        return "refused", response.text[:200]


def _parsed(response: httpx2.Response, answer: type[M]) -> M:
    try:
        return parse(answer, response.content, limit=64 * 1024 * 1024)
    except MessageError as error:
        raise UnavailableError("bad_answer", f"the coordinator's answer is unusable: {error}") from error


def _unreachable(error: httpx2.TransportError) -> UnavailableError:
    return UnavailableError(
        "unreachable",
        f"no coordinator can be reached: {type(error).__name__}: {error}",
        "Check HEADWAY_API_URL and that a coordinator is up.",
    )
