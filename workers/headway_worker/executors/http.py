"""HTTP steps: one request, judged by its status; redirects are answers like others.

Where a request goes is often said by a parameter or an event, so by people who may not reach what
the worker reaches. So it goes to public addresses and to those that the worker's operator allows.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx2

from headway.outgoing.addresses import Allowed
from headway.outgoing.transport import AddressRefused, GuardedTransport
from headway.protocol.messages import Work
from headway_worker.executors.contract import Context, Done, Failed, Result
from headway_worker.stop import Stop

_BODY_LIMIT_BYTES = 1024 * 1024
_CONNECT_SECONDS = 10.0
_DEFAULT_SECONDS = 300.0
_OUTPUTS = ("status", "body", "headers")
T = TypeVar("T")


class HttpExecutor:
    """Performs `http` steps; every attempt has a client of its own, so that a stop can close it."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed

    def perform(self, work: Work, context: Context) -> Result:
        """Return Done with `status`, and `body` and `headers` if declared, or why it failed."""
        request: dict[str, Any] = work.body["http"]
        method, url = str(request.get("method") or "GET"), str(request["url"])
        declared: dict[str, str] = work.body.get("outputs") or {}
        deadline = _deadline(request, context)
        client = httpx2.Client(
            transport=GuardedTransport(self._allowed),
            timeout=_CONNECT_SECONDS,
            trust_env=False,
            follow_redirects=False,
        )
        context.log.write(f"{method} {url}\n".encode())
        try:
            status, headers, body = _unless_stopped(
                lambda: _exchange(client, method, url, request, deadline), context.stop, deadline
            )
        except AddressRefused as error:
            return _refused(error, context)
        except (httpx2.HTTPError, httpx2.InvalidURL, RuntimeError, ValueError) as error:
            return _no_answer(error, context)
        finally:
            context.stop.detach()
            client.close()
        context.log.write(f"{status}\n".encode())
        expected = request.get("expect") or range(200, 300)
        if status not in expected:
            shown = body[:2000].decode(errors="replace")
            return Failed("http_status", f"{method} {url} answered {status}", detail=shown)
        return _outputs(declared, status, headers, body)


def _unless_stopped(exchange: Callable[[], T], stop: Stop, deadline: float) -> T:
    """Return what the exchange gives; on a stop leave it alone and raise RuntimeError.

    Closing a socket does not wake the thread that reads it, so that the reading has a thread of
    its own, which ends by its timeout at the latest. The library's timeout is that of one read:
    an answer that trickles in never meets it, so the wait here has the deadline too.
    """
    results: list[T] = []
    errors: list[Exception] = []
    over = threading.Event()

    def run() -> None:
        try:
            results.append(exchange())
        except Exception as error:  # handed to the caller
            errors.append(error)
        finally:
            over.set()

    stop.attach(lambda _grace: over.set())
    threading.Thread(target=run, name="http-step", daemon=True).start()
    in_time = over.wait(max(0.05, deadline - time.monotonic()))
    if results:
        return results[0]
    if errors:
        raise errors[0]
    if not in_time:
        raise httpx2.ReadTimeout("the answer took too long")
    raise RuntimeError("stopped while it waited for the answer")


def _deadline(request: dict[str, Any], context: Context) -> float:
    own = time.monotonic() + float(request.get("timeout") or _DEFAULT_SECONDS)
    return own if context.deadline is None else min(own, context.deadline)


def _exchange(
    client: httpx2.Client, method: str, url: str, request: dict[str, Any], deadline: float
) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body; bounded in time and size whatever the other side does."""
    left = max(0.05, deadline - time.monotonic())
    timeout = httpx2.Timeout(left, connect=min(_CONNECT_SECONDS, left))
    content = request.get("body")
    with client.stream(
        method,
        url,
        headers={str(k): str(v) for k, v in (request.get("headers") or {}).items()},
        json=request.get("json"),
        content=content.encode() if isinstance(content, str) else None,
        timeout=timeout,
    ) as response:
        body = bytearray()
        for part in response.iter_bytes():
            body += part
            if len(body) > _BODY_LIMIT_BYTES:
                raise ValueError("the answer is larger than 1 MiB")
            if time.monotonic() > deadline:
                raise httpx2.ReadTimeout("the answer took too long")
        return response.status_code, dict(response.headers), bytes(body)


def _refused(error: AddressRefused, context: Context) -> Result:
    message = f"{error}; the worker's HEADWAY_HTTP_ALLOW names what http steps may reach besides"
    context.log.write(f"{message}\n".encode())
    return Failed("http_refused", message)


def _no_answer(error: Exception, context: Context) -> Result:
    if context.deadline is not None and time.monotonic() >= context.deadline:
        context.on_deadline()
    message = f"{type(error).__name__}: {error}"
    context.log.write(f"{message}\n".encode())
    return Failed("http_error", message)


def _outputs(declared: dict[str, str], status: int, headers: dict[str, str], body: bytes) -> Result:
    unknown = sorted(declared.keys() - set(_OUTPUTS))
    if unknown:
        message = f"an http step has the outputs {', '.join(_OUTPUTS)}, not {unknown[0]}"
        return Failed("undeclared_output", message)
    outputs: dict[str, Any] = {"status": status}
    if "headers" in declared:
        outputs["headers"] = headers
    if "body" in declared:
        try:
            text = body.decode()
            outputs["body"] = text if declared["body"] == "string" else json.loads(text)
        except ValueError as error:
            return Failed("bad_output", f"the answer's body is no JSON: {error}")
    return Done(outputs)
