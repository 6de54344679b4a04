"""The name of a definition's content: equal definitions have equal digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def digest_of(canonical: Mapping[str, Any]) -> str:
    """Return the hex SHA-256 of the canonical spec as compact JSON with sorted keys."""
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
