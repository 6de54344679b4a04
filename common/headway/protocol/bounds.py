"""How much a JSON text asks of its reader, told before it is read.

A reader makes an object of each value, of some hundred bytes: 8 MiB of `[],` become 200 MB, and a
model that is held against a million unknown keys makes an error of each.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

_WIDEST = 64  # keys of an object: more than any message has
_FEW = 2000


def values_in(raw: bytes, most: int) -> int:
    """Return how many values the JSON holds at the most, exactly where that is over `most`.

    What stands in texts does not count. The text need not be JSON; it is not read.
    """
    at_most = _marks(raw)
    if at_most <= most:
        return at_most
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    if raw.count(b'"') > 4 * most + 4:
        return most + 1  # each text is a value or the name of one
    return _marks(b"".join(raw.split(b'"')[::2]))


def _marks(raw: bytes) -> int:
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{") + 1


def is_flooded(raw: bytes, free: frozenset[str]) -> bool:
    """Return whether an object has more keys than any message; below the keys in `free` all may.

    Raises:
        ValueError: it is no JSON.
    """
    if _marks(raw) < _FEW:
        return False
    tree: Any = from_json(raw)
    if isinstance(tree, dict):
        if len(tree) > _WIDEST:
            return True
        tree = [value for name, value in tree.items() if name not in free]
    return _is_wide(tree)


def _is_wide(tree: Any) -> bool:
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            if len(value) > _WIDEST:
                return True
            waiting.extend(value.values())
    return False
