"""Sending: several addresses, one answer. What may be sent twice is sent again; the rest is not.

The address that answered last is asked first. A request that certainly never left (no connection)
goes to the next address in any case; one whose fate is unknown only if it is repeatable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import httpx2

from headway import __version__
from headway.client.problems import error_of
from headway.errors import HeadwayError, UnavailableError

Pause = Callable[[float], Any]
_ROUNDS = 2
_BETWEEN_ROUNDS_S = 0.25
_ELSEWHERE = frozenset({502, 503, 504})  # another coordinator may well answer


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `repeatable`: the server takes a second copy for the same request."""

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def repeatable(self) -> bool:
        return self.method in ("GET", "DELETE") or "Idempotency-Key" in self.headers


class Transport:
    """Sends calls to whichever address answers."""

    def __init__(
        self,
        urls: Sequence[str],
        token: str | None,
        *,
        pause: Pause | None = None,
        timeout_s: float = 30.0,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._urls = list(urls)
        self._pause = pause or Event().wait
        headers = {"User-Agent": f"headway/{__version__}"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        timeout = httpx2.Timeout(timeout_s, connect=3.0)
        # No redirect is followed and no proxy is taken from the environment: the token must not
        # travel to an address that nobody named.
        self._http = httpx2.Client(
            headers=headers, timeout=timeout, trust_env=False, transport=transport
        )

    @property
    def address(self) -> str:
        """Return the address that is asked first."""
        return self._urls[0]

    def close(self) -> None:
        self._http.close()

    def send(self, call: Call) -> httpx2.Response:
        """Return the answer, which is below 300.

        Raises UnavailableError (code `unreachable`) if no address answers, and the error that the
        server's problem+json means otherwise.
        """
        failure: HeadwayError = _unreachable(self._urls, "no address")
        for again in range(_ROUNDS if call.repeatable else 1):
            if again:
                self._pause(_BETWEEN_ROUNDS_S)
            for url in list(self._urls):
                answer = self._ask(url, call)
                if isinstance(answer, httpx2.Response):
                    self._prefer(url)
                    return answer
                failure = answer
        raise failure

    def _ask(self, url: str, call: Call) -> httpx2.Response | HeadwayError:
        """Return the answer, or the failure after which the next address may be asked."""
        try:
            response = self._http.request(
                call.method,
                url + call.path,
                params={key: value for key, value in call.query.items() if value is not None},
                json=call.json,
                headers=dict(call.headers),
            )
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            return _unreachable(self._urls, _reason(error))
        except httpx2.InvalidURL as error:
            raise _unreachable(self._urls, _reason(error)) from error
        except httpx2.TransportError as error:
            failure = _unreachable(self._urls, _reason(error))
            if not call.repeatable:
                raise failure from error
            return failure
        return self._judge(response, url, call)

    def _judge(
        self, response: httpx2.Response, url: str, call: Call
    ) -> httpx2.Response | HeadwayError:
        if response.status_code < 300:
            return response
        error = error_of(response.status_code, response.content, url)
        if response.status_code in _ELSEWHERE and call.repeatable:
            return error
        raise error

    def _prefer(self, url: str) -> None:
        if self._urls[0] != url:
            self._urls.remove(url)
            self._urls.insert(0, url)

    def download(self, call: Call) -> Iterator[bytes]:
        """Yield the body of the answer piece by piece; the same errors as `send`."""
        url = self.address + call.path
        with self._http.stream(call.method, url, params=dict(call.query)) as got:
            if got.status_code >= 300:
                raise error_of(got.status_code, got.read(), self.address)
            yield from got.iter_bytes()


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return "it took too long" if isinstance(error, httpx2.TimeoutException) else text


def _unreachable(urls: Sequence[str], reason: str) -> UnavailableError:
    where = " or ".join(urls)
    hint = "start a stack with `headway up`, or set HEADWAY_API_URL to where one runs"
    return UnavailableError("unreachable", f"no coordinator answers at {where}: {reason}", hint)
