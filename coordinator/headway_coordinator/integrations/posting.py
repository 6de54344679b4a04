"""POST requests to addresses of definitions, by which a coordinator tells others: guarded, bounded.

The library's timeouts are those of one read: an answer that trickles in never meets them. So each
request has a thread of its own, which is left alone when its time is up.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import timedelta

import httpx2

from headway.outgoing.addresses import Allowed
from headway.outgoing.transport import AddressRefused, GuardedTransport
from headway_coordinator.application.notifying import NotSentError, Reply

_READ_S = 10.0
_CONNECT_S = 5.0
_WHOLE = timedelta(seconds=20)
_MOST = 32  # requests at a time, those that were left alone included
_SCHEMES = ("http", "https")


class GuardedPost:
    """Implements `Post`; its connections are made when they are needed, and are not kept."""

    def __init__(self, allowed: Allowed, within: timedelta = _WHOLE) -> None:
        self._allowed = allowed
        self._within_s = within.total_seconds()
        self._free = threading.Semaphore(_MOST)

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send the request; of the answer only status and headers are read.

        Redirects are not followed: who gave the address did not give that of others.
        """
        if not self._free.acquire(blocking=False):
            raise NotSentError("too many receivers take their time to answer")
        answers: list[Reply | NotSentError] = []

        def ask() -> None:
            try:
                answers.append(self._asked(url, headers, body))
            except NotSentError as error:
                answers.append(error)
            except Exception as error:  # its text may quote the address
                answers.append(NotSentError(f"the request failed: {type(error).__name__}"))
            finally:
                self._free.release()

        thread = threading.Thread(target=ask, name="post", daemon=True)
        thread.start()
        thread.join(self._within_s)
        if not answers:
            raise NotSentError("the receiver did not answer in time")
        if isinstance(answers[0], NotSentError):
            raise answers[0]
        return answers[0]

    def _asked(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        try:
            parsed = httpx2.URL(url)
            if parsed.scheme not in _SCHEMES or not parsed.host:
                raise NotSentError("the address is no http or https URL")
            with (
                self._client() as client,
                client.stream("POST", parsed, headers=headers, content=body) as response,
            ):
                return Reply(response.status_code, response.headers.get("Retry-After"))
        except AddressRefused as error:
            message = f"it is a {error.kind} address, where no request may go"
            raise NotSentError(f"{message}; HEADWAY_NOTIFY_ALLOW names exceptions") from None
        except httpx2.TimeoutException:
            raise NotSentError("the receiver did not answer in time") from None
        except httpx2.ConnectError:
            raise NotSentError("there is no connection to the receiver") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, RuntimeError) as error:
            # Their texts may quote the address.
            raise NotSentError(f"the request failed: {type(error).__name__}") from None

    def _client(self) -> httpx2.Client:
        return httpx2.Client(
            transport=GuardedTransport(self._allowed),
            timeout=httpx2.Timeout(_READ_S, connect=_CONNECT_S),
            trust_env=False,
            follow_redirects=False,
        )
