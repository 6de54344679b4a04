"""Which JSON values every part can hold: databases, readers in other languages, recursion."""

from __future__ import annotations

import math
import re
from typing import Any

_NO_TEXT = re.compile("[\0\ud800-\udfff]")  # PostgreSQL holds no zero, UTF-8 no half of a pair
DEEPEST = 100  # levels of lists and objects; strict readers stop at 200, with what is around them


def unportable(value: Any) -> str | None:
    """Return why a JSON value cannot be held everywhere, or None if it can."""
    level, depth = [value], 1
    while level:
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                if (odd := _unheld_character(item)) is not None:
                    return f"the character U+{ord(odd):04X} is not allowed"
            elif isinstance(item, dict | list):
                if depth > DEEPEST:
                    return f"it is nested deeper than {DEEPEST} levels"
                below.extend(item)
                if isinstance(item, dict):
                    below.extend(item.values())
            elif isinstance(item, int | float) and (why := _unheld(item)) is not None:
                return why
        level, depth = below, depth + 1
    return None


def _unheld_character(text: str) -> str | None:
    if text.isascii() and "\0" not in text:  # nearly every text, told without a search
        return None
    odd = _NO_TEXT.search(text)
    return odd.group() if odd is not None else None


def unheld_number(value: Any) -> str | None:
    """Return why a number in a JSON value cannot be held everywhere, or None if all can."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case int() | float() as number if (why := _unheld(number)) is not None:
                return why
            case dict() as item:
                waiting.extend(item.values())
            case list() | tuple() as item:
                waiting.extend(item)
    return None


def with_held_numbers(value: Any) -> Any:
    """Return the JSON value with the nearest double for integers that do not fit 64 bits, and null
    for numbers that are not finite. Recursive: for what was parsed within the limits of depth."""
    match value:
        case int() | float() if _unheld(value) is not None:
            try:
                nearest = float(value)
            except OverflowError:
                return None
            return nearest if math.isfinite(nearest) else None
        case dict():
            return {name: with_held_numbers(item) for name, item in value.items()}
        case list():
            return [with_held_numbers(item) for item in value]
    return value


def _unheld(number: float) -> str | None:
    if isinstance(number, int):
        return None if -(2**63) <= number < 2**63 else "a number in it does not fit 64 bits"
    return None if math.isfinite(number) else "a number in it is not finite"


def is_deep(value: Any) -> bool:
    """Return whether lists and objects are nested deeper than can be reported."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            part
            for item in level
            if isinstance(item, dict | list | tuple)
            for part in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return any(isinstance(item, dict | list | tuple) for item in level)
