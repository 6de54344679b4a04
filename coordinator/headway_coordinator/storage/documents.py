"""JSON documents as text: what is written to the database and read back unchanged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, overload

import orjson

_NUL = b"\\u0000"
_REPLACEMENT = "\ufffd"


def dump(value: Any) -> str:
    """Return `value` as compact JSON that both databases accept; times become text.

    Characters that a PostgreSQL text cannot hold (NUL, lone surrogates) come from the output of
    steps; they become U+FFFD, because refusing them would let one step's output stop its run.
    """
    try:
        text = orjson.dumps(value)
    except TypeError:  # lone surrogates, integers over 64 bits
        return json.dumps(_clean(value), separators=(",", ":"), ensure_ascii=False)
    if _NUL in text:
        text = orjson.dumps(_clean(value))
    return text.decode()


def load(text: str) -> Any:
    """Return the value that `dump` wrote."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # integers over 64 bits
        return json.loads(text)


@overload
def clean_text(value: str) -> str: ...


@overload
def clean_text(value: None) -> None: ...


def clean_text(value: str | None) -> str | None:
    """Return `value` without the characters that a PostgreSQL text cannot hold."""
    if value is None or (value.isascii() and "\x00" not in value):
        return value
    text = value.replace("\x00", _REPLACEMENT)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _clean(value: Any) -> Any:
    match value:
        case str():
            return clean_text(value)
        case datetime():
            return value.isoformat()
        case float() if value != value or value in (float("inf"), float("-inf")):
            return None
        case Mapping():
            return {clean_text(str(k)): _clean(v) for k, v in value.items()}
        case Sequence():
            return [_clean(v) for v in value]
        case _:
            return value
