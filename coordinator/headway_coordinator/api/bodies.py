"""How the body of a request is read: strict JSON, and no more of it than the request can mean."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.exceptions import HTTPException

from headway.protocol.bounds import values_in

VALUES_LIMIT = 50_000


class BodyRoute(APIRoute):
    """A route whose JSON body is read with bounds; the framework's own reader has none.

    Not JSON are here also: NaN and infinity, halves of surrogate pairs, which no answer could hold,
    and more than some 200 levels.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            return await handle(_Bounded(request.scope, request.receive))

        return bounded


class _Bounded(Request):
    async def json(self) -> Any:
        body = await self.body()
        if values_in(body, VALUES_LIMIT) > VALUES_LIMIT:
            raise HTTPException(413, f"the body holds more than {VALUES_LIMIT:,} values")
        try:
            return from_json(body, allow_inf_nan=False)
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from error
