"""Durations as people write them, and as seconds."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_SHAPE = re.compile(
    r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?(?:(\d{1,9})ms)?", re.A
)
MAX_DURATION = timedelta(days=3660)


def parse_duration(text: str) -> timedelta:
    """Return the duration that `90s`, `5m`, `4h`, `1d`, `1h30m` or `500ms` names.

    Raises ValueError for another shape and for more than ten years.
    """
    match = _SHAPE.fullmatch(text)
    if not match or not text:
        raise ValueError(f"`{text[:40]}` is not a duration such as 90s, 5m, 1h30m or 500ms")
    counts = zip(match.groups(), _UNITS.values(), strict=True)
    duration = timedelta(milliseconds=sum(int(count) * unit for count, unit in counts if count))
    if duration > MAX_DURATION:
        raise ValueError(f"`{text}` is more than ten years")
    return duration


def format_duration(duration: timedelta) -> str:
    """Return the shortest text that `parse_duration` reads as this duration, to the millisecond."""
    rest = round(duration.total_seconds() * 1000)
    text = ""
    for name, unit in _UNITS.items():
        count, rest = divmod(rest, unit)
        text += f"{count}{name}" if count else ""
    return text or "0s"
