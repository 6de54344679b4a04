"""The API reached without a socket: what an ASGI app sees and what comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from headway_coordinator.inside import InsideTransport, Loop


async def app(scope: Any, receive: Any, send: Any) -> None:
    request = Request(scope, receive)
    if request.url.path == "/large":
        blocks = (bytes([number]) * 1_000_000 for number in range(20))
        await StreamingResponse(blocks)(scope, receive, send)
        return
    if request.url.path == "/broken":
        raise RuntimeError("the app broke")
    body = await request.body()
    seen = {
        "method": request.method,
        "path": request.url.path,
        "query": dict(request.query_params),
        "token": request.headers.get("authorization"),
        "body": body.decode(),
    }
    response: Response = JSONResponse(seen, status_code=201, headers={"X-Thing": "1"})
    await response(scope, receive, send)


@pytest.fixture
def transport() -> Iterator[InsideTransport]:
    loop = Loop()
    loop.start()
    yield InsideTransport(app, loop)
    loop.close()


def test_a_client_asks_as_over_http(transport: InsideTransport) -> None:
    with httpx2.Client(transport=transport, headers={"Authorization": "Bearer x"}) as client:
        response = client.post("http://local/a%20b/c", params={"q": "é&="}, json={"n": 1})
    assert (response.status_code, response.headers["x-thing"]) == (201, "1")
    seen = response.json()
    assert (seen["method"], seen["path"], seen["query"]) == ("POST", "/a b/c", {"q": "é&="})
    assert (seen["token"], json.loads(seen["body"])) == ("Bearer x", {"n": 1})


def test_a_body_in_pieces_and_an_answer_in_pieces(transport: InsideTransport) -> None:
    pieces = (part for part in (b"one ", b"two ", b"three"))
    with transport.exchange("PUT", "/x?a=b", {"Authorization": "y"}, pieces) as answer:
        seen = json.loads(b"".join(answer.chunks))
    assert (seen["body"], seen["query"], seen["token"]) == ("one two three", {"a": "b"}, "y")
    with transport.exchange("GET", "/large", {}, None) as answer:
        assert sum(len(chunk) for chunk in answer.chunks) == 20_000_000


def test_what_the_app_raises_is_raised_here(transport: InsideTransport) -> None:
    with (
        pytest.raises(RuntimeError, match="the app broke"),
        transport.exchange("GET", "/broken", {}, None),
    ):
        pass
