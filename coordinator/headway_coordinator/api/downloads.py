"""Files and logs as responses that no browser will run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from headway_coordinator.application import reading
from headway_coordinator.application.ports import Store

_SANDBOX = {"Content-Security-Policy": "default-src 'none'; sandbox"}


def attachment(store: Store, run: Mapping[str, Any], ref: Mapping[str, Any]) -> Response:
    """Return an artifact as a download; its type is never guessed."""
    content = store.get(reading.artifact_key(run["id"], ref["sha256"]))
    name = quote(str(ref["path"]).rsplit("/", 1)[-1], safe="")
    headers = {
        **_SANDBOX,
        "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        "ETag": f'"{ref["sha256"]}"',
    }
    return StreamingResponse(content, headers=headers, media_type="application/octet-stream")


def log_response(
    store: Store, run: Mapping[str, Any], step: str, attempt: int | None, offset: int
) -> Response:
    """Return an attempt's log from `offset` on; X-Headway-Next-Offset says where to go on."""
    made = reading.attempt_of(reading.step_of(run, step), attempt)
    if made is None:
        headers = {**_SANDBOX, "X-Headway-Next-Offset": "0"}
        return Response(b"", headers=headers, media_type="text/plain; charset=utf-8")
    part = reading.read_log(store, run["id"], made["id"], offset)
    headers = {
        **_SANDBOX,
        "X-Headway-Next-Offset": str(part.end),
        "X-Headway-Attempt": str(made["no"]),
    }
    return StreamingResponse(iter(part), headers=headers, media_type="text/plain; charset=utf-8")
