"""How states, times and foreign text are shown: always a word beside the shape and the colour."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from headway.clock import rfc3339


@dataclass(frozen=True, slots=True)
class Look:
    """A state as people see it; `tone` names the style."""

    symbol: str
    word: str
    tone: str


LOOKS: Mapping[str, Look] = {
    "failed": Look("✕", "Failed", "fail"),
    "timed_out": Look("◷", "Timed out", "fail"),
    "lost": Look("?", "Lost, given to another", "fail"),
    "awaiting_approval": Look("◆", "Waiting for approval", "appr"),
    "retry_wait": Look("↻", "Waiting to retry", "retry"),
    "running": Look("▸", "Running", "run"),
    "dispatched": Look("⧗", "Starting", "ext"),
    "ready": Look("⋯", "Queued", "wait"),
    "queued": Look("⋯", "Queued", "wait"),
    "deferred": Look("⧗", "Waiting outside", "ext"),
    "cancelling": Look("■", "Cancelling", "wait"),
    "upstream_failed": Look("⤒", "Upstream failed", "after"),
    "cancelled": Look("■", "Cancelled", "wait"),
    "paused": Look("‖", "Paused", "wait"),
    "pending": Look("·", "Not reached", "none"),
    "succeeded": Look("✓", "Succeeded", "ok"),
    "skipped": Look("–", "Skipped", "none"),
}
SET_ASIDE = Look("!", "Set aside", "fail")
PRECEDENCE = tuple(LOOKS)

_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-Z\\^_])")
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_CONTROL = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {127: 0x2421}
_CONTROL |= dict.fromkeys(range(0x80, 0xA0), 0xFFFD)  # a terminal takes some for escapes


def look(state: str) -> Look:
    """Return how the state is shown; one that is not known here is shown by its own name."""
    return LOOKS.get(state) or Look("?", state, "none")


def shown(text: Any) -> str:
    """Return foreign text with terminal colours dropped and other control characters visible."""
    plain = _ESCAPES.sub("", str(text)).replace("\r\n", "\n")
    return _DIRECTION.sub("\ufffd", plain).translate(_CONTROL)


def one_line(text: Any, limit: int = 300) -> str:
    """Return the first line that says something, cut at `limit` characters."""
    line = next((line for line in shown(text).splitlines() if line.strip()), "")
    return line if len(line) <= limit else line[: limit - 1] + "…"


def value_text(value: Any, limit: int = 2000) -> str:
    """Return a JSON value as text: strings bare, all else as JSON; cut at `limit` characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = shown(text)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def duration(length: timedelta | None) -> str:
    """Return such as 0.4s, 38s, 14m 22s, 3h 05m, 2d 4h."""
    if length is None:
        return ""
    seconds = max(0.0, length.total_seconds())
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    if whole < 86_400:
        return f"{whole // 3600}h {whole % 3600 // 60:02}m"
    return f"{whole // 86_400}d {whole % 86_400 // 3600}h"


def moment(at: datetime | str) -> str:
    """Return such as `Mon 23 Nov 2026, 11:42:07 UTC`."""
    at = _time(at)
    return f"{at:%a} {at.day} {at:%b %Y, %H:%M:%S} UTC"


def exact(at: datetime | str) -> str:
    """Return the time to the millisecond, as the API writes it."""
    return rfc3339(_time(at))


def _time(at: datetime | str) -> datetime:
    """A run that is not applied yet has its times as it was asked: in text."""
    parsed = datetime.fromisoformat(at) if isinstance(at, str) else at
    return parsed.astimezone(UTC)


def web_address(text: Any) -> str | None:
    """Return the text if it is an http address that a page may link to."""
    if isinstance(text, str) and re.fullmatch(r"https?://[^\s\x00-\x1f\"'<>\\]{1,2000}", text):
        return text
    return None
