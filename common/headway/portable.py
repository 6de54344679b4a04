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
            case int() if not -(2**63) <= item < 2**63:
                return "a number in it does not fit 64 bits"
            case float() if not math.isfinite(item):
                return "a number in it is not finite"
            case dict() | list() if level > DEEPEST:
                return f"it is nested deeper than {DEEPEST} levels"
            case dict():
                waiting.extend((part, level + 1) for pair in item.items() for part in pair)
            case list():
                waiting.extend((part, level + 1) for part in item)
    return None


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
