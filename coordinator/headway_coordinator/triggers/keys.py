"""Keys by which events are known again. Pure."""

from __future__ import annotations

import hashlib

# In bytes: PostgreSQL's indexes take rows of 2,704 at the most, and some keys are made of two.
LONGEST_BYTES = 400


def short(text: str) -> str:
    """Return a text that fits into a key: itself, or what only it has if it is too long for an
    index, or holds what a database does not take."""
    raw = text.encode("utf-8", "surrogatepass")
    if len(raw) <= LONGEST_BYTES and "\x00" not in text and not _has_surrogates(text):
        return text
    return hashlib.sha256(raw).hexdigest()


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= each <= "\udfff" for each in text)
