"""Which JSON values every part can hold: databases, readers in other languages, recursion."""

from __future__ import annotations

import math
import re
from typing import Any

_NO_TEXT = re.compile("[\0\ud800-\udfff]")  # PostgreSQL holds no zero, UTF-8 no half of a pair
DEEPEST = 100  # levels of lists and objects; strict readers stop at 200, with what is around them


def unportable(value: Any) -> str | None:
    """Return why a JSON value cannot be held everywhere, or None if it can."""
    waiting = [(value, 1)]
    while waiting:
        item, level = waiting.pop()
        match item:
            case str() if odd := _NO_TEXT.search(item):
                return f"the character U+{ord(odd.group()):04X} is not allowed"
            case int() | float() if (why := _unheld(item)) is not None:
                return why
            case dict() | list() if level > DEEPEST:
                return f"it is nested deeper than {DEEPEST} levels"
            case dict():
                waiting.extend((part, level + 1) for pair in item.items() for part in pair)
            case list():
                waiting.extend((part, level + 1) for part in item)
    return None


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
