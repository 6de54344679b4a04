"""The names of a step's children: `transform[3]` is the one of the fourth item. Pure."""

from __future__ import annotations


def child_key(parent: str, index: int) -> str:
    """Return the key of the child at `index` (from 0) of a step that runs for each item."""
    return f"{parent}[{index}]"


def parent_of(key: str) -> str:
    """Return the step that a key belongs to: of a child its parent, of any other step itself."""
    return key.partition("[")[0]


def child_index(key: str) -> int | None:
    """Return which item the key's child is for; None for a step that is no child."""
    _, bracket, rest = key.partition("[")
    return int(rest[:-1]) if bracket else None
