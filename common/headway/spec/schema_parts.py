"""What the JSON Schema of definitions is made of."""

from __future__ import annotations

from typing import Any

from headway.spec.descriptions import described

TEXT = {"type": "string", "minLength": 1}
DURATION = {"type": "string", "pattern": r"^(?=.)(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$"}
URI = {"type": "string", "pattern": r"^[a-z][a-z0-9+.-]*:\S+$", "maxLength": 1000}


def whole(pattern: str) -> str:
    """Return the pattern for a whole text."""
    return f"^{pattern}$"


def record(name: str, properties: dict[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the schema of a mapping of known keys, each with its description and default."""
    keys = described(name, properties)
    made = {"type": "object", "additionalProperties": False, "properties": keys}
    return {**made, "required": list(required)} if required else made
