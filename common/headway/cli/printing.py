"""What the command prints: documents, tables, states and durations as people read them."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TextIO

SYMBOLS = {
    "pending": "·",
    "queued": "◷",
    "ready": "◷",
    "dispatched": "◷",
    "running": "▶",
    "retry_wait": "↻",
    "deferred": "⋯",
    "awaiting_approval": "◆",
    "paused": "‖",
    "cancelling": "⊘",
    "succeeded": "✓",
    "failed": "✕",
    "timed_out": "✕",
    "lost": "✕",
    "skipped": "–",
    "cancelled": "⊘",
    "upstream_failed": "⇣",
}
_COLOURS = {"succeeded": "32", "failed": "31", "timed_out": "31", "lost": "31", "retry_wait": "33"}
_DIRECTION = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_CONTROL = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f{_DIRECTION}]")
# What stands for a byte of a file's name that is not UTF-8.
_BYTE = re.compile("[\ud800-\udfff]")


def print_document(document: Any) -> None:
    """Print the one JSON document of a command."""
    text = json.dumps(document, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None)
    text = _BYTE.sub("\ufffd", text)
    # JSON leaves some raw that steer a terminal; escaped, they mean the same to whoever reads it.
    print(_CONTROL.sub(lambda odd: f"\\u{ord(odd.group()):04x}", text))


def print_table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    empty: str,
    file: TextIO | None = None,
) -> None:
    """Print rows under their titles, each column as wide as its widest cell; or say it is empty."""
    if not rows:
        print(empty, file=file)
        return
    cells = [list(titles), *[[clean(cell).replace("\n", " ") for cell in row] for row in rows]]
    widths = [max(len(row[index]) for row in cells) for index in range(len(titles))]
    for number, row in enumerate(cells):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(painted(line.rstrip(), "1") if number == 0 else line.rstrip(), file=file)


def state_words(state: str) -> str:
    """Return a state as its symbol and its words."""
    return f"{SYMBOLS.get(state, '?')} {state.replace('_', ' ')}"


def run_words(run: Mapping[str, Any]) -> str:
    """Return the state of a run of the API; of one that is set aside, that before all else."""
    words = state_words(str(run.get("state")))
    return f"! set aside ({words})" if run.get("quarantine") else words


def painted_run(run: Mapping[str, Any]) -> str:
    """Return the state of a run in words, coloured on a terminal; colour says nothing more."""
    colour = _COLOURS["failed"] if run.get("quarantine") else _COLOURS.get(str(run.get("state")))
    return painted(run_words(run), colour)


def clean(text: str) -> str:
    """Return the text without characters that could steer a terminal, or the order of reading."""
    return _CONTROL.sub("\ufffd", text)


def one_line(value: Any, limit: int = 100) -> str:
    """Return a value on one line, cut to `limit` characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = clean(" ".join(text.split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def moment(text: Any) -> datetime | None:
    """Return the time that an RFC 3339 text of the API names, or None."""
    try:
        return datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None


def clock_time(text: Any) -> str:
    """Return a time of the API to the second, in UTC as it came."""
    at = moment(text)
    return at.strftime("%Y-%m-%d %H:%M:%SZ") if at else "-"


def span(seconds: float | None) -> str:
    """Return a duration in the two largest units that matter."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def between(start: Any, end: Any) -> float | None:
    """Return the seconds between two times of the API, or None where one is missing."""
    first, last = moment(start), moment(end)
    return (last - first).total_seconds() if first and last else None


def size(count: Any) -> str:
    """Return a number of bytes in a unit that fits."""
    value = float(count or 0)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def rows_of(holder: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return the objects of the list that `holder` has under a name; none where it has no list."""
    rows = holder.get(name)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def painted(text: str, colour: str | None) -> str:
    """Return the text in a colour of the terminal, where there is one and it may be used."""
    if colour is None or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{colour}m{text}\x1b[0m"
