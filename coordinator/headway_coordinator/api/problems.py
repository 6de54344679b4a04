"""Every error as `application/problem+json` (RFC 9457): the one place that knows the statuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from headway.errors import DefinitionError, ForbiddenError, HeadwayError
from headway.protocol.messages import MessageError
from headway.refusals import in_words
from headway.spec.report import MAX_MESSAGE, MAX_PROBLEMS
from headway_coordinator.api.answers import json_bytes
from headway_coordinator.api.mistakes import mistakes
from headway_coordinator.application.ports import StorageUnavailable

log = structlog.get_logger("headway.api")

_RETRY_AFTER = {429: "60", 503: "2"}
_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
}


def install(app: FastAPI) -> None:
    """Make every exception of the app's handlers a problem document."""
    for kind in (HeadwayError, RequestValidationError, HTTPException, MessageError, Exception):
        app.add_exception_handler(kind, _handle)


async def _handle(request: Request, error: Exception) -> Response:
    return response_of(error)


def response_of(error: Exception) -> Response:
    """Return the response that tells of the error, and nothing of Headway's inside."""
    match error:
        case HeadwayError():
            return _of_headway(error)
        case RequestValidationError():
            return _of_validation(error)
        case MessageError():
            return problem(422, "invalid_message", in_words(error))
        case HTTPException():
            code = _CODES.get(error.status_code, f"http_{error.status_code}")
            return problem(error.status_code, code, str(error.detail), headers=error.headers)
        case _:
            log.error("request_failed", exc_info=error)
            hint = "The coordinator's log says why. This is a defect of Headway; please report it."
            return problem(500, "internal_error", "Headway failed on its side", hint)


def status_of(error: HeadwayError) -> int:
    """Return the HTTP status of an error."""
    return error.status if isinstance(error, ForbiddenError) else error.http_status


def problem(
    status: int,
    code: str,
    detail: str,
    hint: str | None = None,
    *,
    problems: Sequence[Mapping[str, Any]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a problem document as a response."""
    body = {
        "type": f"urn:headway:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "hint": hint,
        "problems": _first(problems),
    }
    extra = dict(headers or {})
    if status in _RETRY_AFTER:
        extra.setdefault("Retry-After", _RETRY_AFTER[status])
    if status == 401:
        extra["WWW-Authenticate"] = "Bearer"
    if status == 413:
        extra["Connection"] = "close"  # or the rest of the body would be read to its end
    return Response(json_bytes(body), status, extra, media_type="application/problem+json")


def _first(problems: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Nobody mends more at a time, and an answer must not be many times what was asked."""
    if len(problems) <= MAX_PROBLEMS:
        return list(problems)
    message = f"more than {MAX_PROBLEMS} problems; the others are not shown"
    last = {**_NO_PLACE, "code": "too_many_problems", "message": message}
    return [*problems[:MAX_PROBLEMS], {**last, "hint": "mend these first"}]


_NO_PLACE = {"file": "request", "line": 0, "column": 0}


def _of_headway(error: HeadwayError) -> Response:
    problems = error.problems if isinstance(error, DefinitionError) else ()
    status = status_of(error)
    if status >= 500:
        log.warning("request_refused", code=error.code, reason=error.message)
    rows = [p.as_dict() for p in problems[: MAX_PROBLEMS + 1]]
    if isinstance(error, StorageUnavailable):  # its words name servers, which are not the caller's
        hint = "Try again in a moment; the coordinator's log says why."
        return problem(status, error.code, "the coordinator's database does not answer", hint)
    return problem(status, error.code, error.message, error.hint, problems=rows)


def _of_validation(error: RequestValidationError) -> Response:
    found = mistakes(error.errors(), MAX_PROBLEMS + 1)
    rows = [
        {**_NO_PLACE, "code": each.code, "message": each.message[:MAX_MESSAGE], "hint": each.hint}
        for each in found
    ]
    more = f"; and {len(found) - 1} more" if len(found) > 1 else ""
    detail = (
        f"{rows[0]['message']}{more}" if rows else "the request has another shape than expected"
    )
    hint = found[0].hint if found else None
    return problem(422, "invalid_request", detail, hint, problems=rows)
