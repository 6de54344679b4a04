"""How a foreign document is read: bounded, and without trust in any part of its shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic_core import from_json

from headway.portable import unportable
from headway.protocol.bounds import values_in
from headway_coordinator.triggers.hooks import MalformedEvent

Found = TypeVar("Found")
MOST_VALUES = 50_000
MOST_EVENTS = 1000
_UTC_NAME = re.compile(r" ?UTC$")


def read_json(body: bytes, what: str = "the body") -> Any:
    """Return the JSON value that `body` holds, one that databases and expressions can hold too.

    Raises:
        MalformedEvent: it is no JSON, holds more than 50,000 values, nests deeper than some 100
            levels, or has a number or a character that cannot be kept.
    """
    if values_in(body, MOST_VALUES) > MOST_VALUES:
        raise MalformedEvent(f"{what} holds more than {MOST_VALUES:,} values", "send less at once")
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise MalformedEvent(f"{what} is not JSON: {str(error)[:200]}", "send JSON") from None
    # Two levels are kept free for what an event lays around it.
    if (why := unportable([[value]])) is not None:
        raise MalformedEvent(f"{what} cannot be kept: {why}", "leave it out, or send it as text")
    return value


def read_object(body: bytes, what: str = "the body") -> dict[str, Any]:
    """Return the JSON object that `body` holds.

    Raises:
        MalformedEvent: as `read_json`, and where it is another value than an object.
    """
    value = read_json(body, what)
    if not isinstance(value, dict):
        raise MalformedEvent(f"{what} is not a JSON object", "send what the sender's manual shows")
    return value


def objects_in(owner: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the objects of the list at `key`, each of which becomes an event.

    Raises:
        MalformedEvent: it is no list of objects, or one of more than 1,000.
    """
    found = owner.get(key)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise MalformedEvent(f"`{key}` is not a list of objects", "is this the right source?")
    if len(found) > MOST_EVENTS:
        raise MalformedEvent(f"`{key}` has more than {MOST_EVENTS:,} entries", "send less at once")
    return found


def at(value: Any, *path: str) -> Any:
    """Return what stands at the end of the path, or None where a part of it is missing."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def text(value: Any, *path: str) -> str | None:
    """Return the text at the path; None for anything else, an empty text too."""
    found = at(value, *path)
    return found if isinstance(found, str) and found else None


def whole(value: Any, *path: str) -> int | None:
    """Return the whole number at the path, or None."""
    found = at(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def flag(value: Any, *path: str) -> bool | None:
    """Return the boolean at the path, or None."""
    found = at(value, *path)
    return found if isinstance(found, bool) else None


def first(*values: Found | None) -> Found | None:
    """Return the first value that is not None."""
    return next((value for value in values if value is not None), None)


def moment(value: Any, *path: str) -> datetime | None:
    """Return the time at the path in UTC; None where it is none or does not say its zone.

    Texts are ISO 8601, with `UTC` for the offset too. Numbers are seconds since 1970, or
    milliseconds where they are too large for seconds.
    """
    found = at(value, *path)
    try:
        if isinstance(found, str):
            read = datetime.fromisoformat(_UTC_NAME.sub("+00:00", found).replace(" +", "+"))
            return read.astimezone(UTC) if read.tzinfo is not None else None
        if isinstance(found, int) and not isinstance(found, bool):
            return datetime.fromtimestamp(found / 1000 if found > 10**11 else found, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None
