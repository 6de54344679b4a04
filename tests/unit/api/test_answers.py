"""How the API writes JSON: also of what was stored before it was refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from headway_coordinator.api.answers import json_bytes


def test_integers_beyond_64_bits_are_written_as_they_are() -> None:
    value = {"l": [2**64, {"n": -(10**400)}], "at": datetime(2026, 1, 1, tzinfo=UTC), "é": 1}
    assert json.loads(json_bytes(value)) == {**value, "at": "2026-01-01T00:00:00.000Z"}


def test_durations_are_seconds() -> None:
    assert json_bytes({"took": timedelta(milliseconds=1500)}) == b'{"took":1.5}'
