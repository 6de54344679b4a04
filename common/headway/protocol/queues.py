"""Names of the Celery queues."""

from __future__ import annotations

import re

EVENTS = "headway.events"
TASK = "headway.execute"
PROBE = "headway.probe"
CANARY = "headway.canary"

TEAM_PATTERN = r"[a-z][a-z0-9-]{0,62}"
CLASS_PATTERN = r"[a-z][a-z0-9-]{0,30}"
_QUEUE = re.compile(rf"({TEAM_PATTERN})\.({CLASS_PATTERN})")


def step_queue(team: str, resource_class: str) -> str:
    """Return `<team>.<class>`."""
    return f"{team}.{resource_class}"


def event_queue(team: str) -> str:
    """Return the queue to which upstream systems publish events for a team."""
    return f"{EVENTS}.{team}"


def probe_queue(team: str, worker: str) -> str:
    """Return the queue by which a worker hears itself; no class can be called so."""
    return f"{team}._probe.{worker}"


def is_probe_queue(queue: str) -> bool:
    """Say whether the queue is a worker's own."""
    return "._probe." in queue


def split_queue(queue: str) -> tuple[str, str]:
    """Return (team, class) of a step queue's name.

    Raises:
        ValueError: `queue` is no `<team>.<class>`.
    """
    match = _QUEUE.fullmatch(queue)
    if match is None:
        raise ValueError(f"{queue!r} is not a <team>.<class> queue name")
    return match[1], match[2]
