"""Limits and cursors of lists, and cursors for lists that are short enough to be read whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import Query

Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query(pattern=r"^[\x21-\x7e]{1,500}$")]


def page(
    rows: Sequence[Any], key: Callable[[Any], str], limit: int, cursor: str | None
) -> tuple[list[Any], str | None]:
    """Return the rows after `cursor` in the order of their keys, and the cursor of the rest."""
    ordered = sorted(rows, key=key)
    after = [row for row in ordered if cursor is None or key(row) > cursor]
    more = len(after) > limit
    return after[:limit], key(after[limit - 1]) if more else None
