"""When a trigger that gathers events starts a run: batch, debounce, all of several assets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

DEBOUNCE_LIMIT = 10_000  # events of one run, however often they keep coming


def gathers(trigger: Mapping[str, Any]) -> bool:
    """Say whether one event may be too few for a run of the trigger."""
    asset = trigger.get("asset") or {}
    return bool(trigger.get("batch") or trigger.get("debounce") or asset.get("all"))


def size_limit(trigger: Mapping[str, Any]) -> int:
    """Return how many events one run takes at the most."""
    batch = trigger.get("batch")
    return int(batch["size"]) if batch else DEBOUNCE_LIMIT


def fires_at(
    trigger: Mapping[str, Any], *, count: int, first_at: datetime, last_at: datetime
) -> datetime | None:
    """Return when the events gathered are a run, if none comes until then. None: it depends.

    A batch is full at its size, or when its first event has waited `within`; a debounce when it
    has been quiet for that long. With both, whichever comes first.
    """
    times = []
    if batch := trigger.get("batch"):
        full = count >= batch["size"]
        times.append(last_at if full else first_at + timedelta(seconds=batch["within"]))
    if quiet := trigger.get("debounce"):
        times.append(last_at if count >= DEBOUNCE_LIMIT else last_at + timedelta(seconds=quiet))
    return min(times, default=None)
