"""A refusal as the server words it (problem+json) turned into one of Headway's errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from headway.errors import (
    ConflictError,
    DefinitionError,
    ForbiddenError,
    HeadwayError,
    Problem,
    UnavailableError,
)


def error_of(status: int, body: bytes, address: str) -> HeadwayError:
    """Return the error that a response of 400 or more means."""
    problem = _problem(body)
    if problem is None and status < 500:
        return _stranger(status, address)
    problem = problem or {}
    code = str(problem.get("code") or f"http_{status}")
    message = str(problem.get("detail") or problem.get("title") or f"the server answered {status}")
    hint = str(problem["hint"]) if problem.get("hint") else None
    if status >= 500 or status == 408:
        return UnavailableError(code, message, hint)
    if status == 409:
        return ConflictError(code, message, hint)
    if status in (401, 403, 404, 413, 429):
        return ForbiddenError(code, message, hint or _HINTS.get(status), status=status)
    return DefinitionError(message, _places(problem.get("problems")), code=code, hint=hint)


_HINTS = {
    401: "set HEADWAY_TOKEN to a token of this installation, or run this beside `headway up`",
    429: "wait a little, then try again",
}


def _stranger(status: int, address: str) -> HeadwayError:
    message = f"{address} answered {status}, but not in the way that Headway does"
    return UnavailableError("not_headway", message, "check HEADWAY_API_URL")


def _problem(body: bytes) -> Mapping[str, Any] | None:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    ours = isinstance(content, dict) and ("title" in content or "code" in content)
    return content if ours else None


def _places(rows: Any) -> list[Problem]:
    rows = rows if isinstance(rows, list) else []
    return [_place(row) for row in rows if isinstance(row, dict)]


def _place(row: Mapping[str, Any]) -> Problem:
    return Problem(
        file=str(row.get("file") or ""),
        line=int(row.get("line") or 0),
        column=int(row.get("column") or 0),
        code=str(row.get("code") or "invalid"),
        message=str(row.get("message") or "invalid"),
        hint=str(row["hint"]) if row.get("hint") else None,
    )
