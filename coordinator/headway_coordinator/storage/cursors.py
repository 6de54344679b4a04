"""Cursors of lists: where the next page begins, opaque to whoever carries them."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime

from headway.errors import DefinitionError


def write_cursor(created_at: datetime, id: str) -> str:
    """Return the cursor after the row of that time and id."""
    return base64.urlsafe_b64encode(f"{created_at.isoformat()}|{id}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[datetime, str]:
    """Return the time and id that `write_cursor` was given.

    Raises:
        DefinitionError: it is no cursor of ours (code `invalid_cursor`).
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        moment, _, id = base64.urlsafe_b64decode(padded.encode()).decode().partition("|")
        created_at = datetime.fromisoformat(moment)
    except (binascii.Error, ValueError) as error:
        raise _invalid() from error
    if created_at.tzinfo is None or "\x00" in id:
        raise _invalid()
    return created_at, id


def read_number(cursor: str) -> int:
    """Return the row number that a cursor of the audit is.

    Raises:
        DefinitionError: it is no cursor of ours (code `invalid_cursor`).
    """
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise _invalid()
    return int(cursor)


def _invalid() -> DefinitionError:
    return DefinitionError(
        "this is no cursor",
        code="invalid_cursor",
        hint="Pass `next` of the page before, unchanged, or none.",
    )
