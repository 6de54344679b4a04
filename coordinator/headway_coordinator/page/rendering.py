"""HTML from templates: all values are escaped, styles and scripts run by their nonce alone."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from headway_coordinator.page import words


def page(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return the template as a response with its own content security policy."""
    nonce = secrets.token_urlsafe(16)
    html = _environment().get_template(template).render(nonce=nonce, **values)
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
        "connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    return HTMLResponse(html, status, headers={"Content-Security-Policy": policy})


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("headway_coordinator.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "shown": words.shown,
        "one_line": words.one_line,
        "moment": words.moment,
        "exact": words.exact,
        "duration": words.duration,
        "size": size_text,
    }
    environment.filters.update(filters)
    return environment


def size_text(size: int) -> str:
    """Return such as 812 B, 14 kB, 3.2 MB."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("the loop ends at GB")
