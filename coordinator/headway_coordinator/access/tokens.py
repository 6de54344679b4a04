"""Access tokens: 256 random bits behind a prefix that secret scanners can find.

Only the SHA-256 of a token is stored. A plain hash is enough, since nobody can guess the input.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable

PREFIX = "hw_"
_TOKEN = re.compile(r"hw_[A-Za-z0-9_-]{43}")


def new_token(random_bytes: Callable[[int], bytes]) -> str:
    """Return `hw_` and 43 characters."""
    return PREFIX + base64.urlsafe_b64encode(random_bytes(32)).decode().rstrip("=")


def is_token(text: str) -> bool:
    """Say whether the text has a token's form; nothing else is worth looking up."""
    return _TOKEN.fullmatch(text) is not None


def fingerprint(token: str) -> str:
    """Return the SHA-256 in hexadecimal, as it is stored."""
    return hashlib.sha256(token.encode()).hexdigest()
