"""Queues put together from what waits in them, what is live, and who serves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from headway_coordinator.application.worker_ports import Occupancy, WorkerInfo


def view_queues(
    ready: Mapping[str, tuple[int, datetime]],
    occupancy: Sequence[Occupancy],
    workers: Sequence[WorkerInfo],
) -> list[dict[str, Any]]:
    """Return every queue that has steps, attempts or a live worker, by name."""
    names = {*ready, *(o.queue for o in occupancy), *(q for w in workers for q in w.queues)}
    return [_view(name, ready.get(name), occupancy, workers) for name in sorted(names)]


def _view(
    name: str,
    ready: tuple[int, datetime] | None,
    occupancy: Sequence[Occupancy],
    workers: Sequence[WorkerInfo],
) -> dict[str, Any]:
    team, _, resource_class = name.partition(".")  # workers name classes as they like
    serving = [w for w in workers if name in w.queues]
    live = [o for o in occupancy if o.queue == name]
    return {
        "queue": name,
        "team": team,
        "class": resource_class,
        "ready": ready[0] if ready else 0,
        "dispatched": sum(o.count for o in live if o.state == "dispatched"),
        "running": sum(o.count for o in live if o.state == "running"),
        "oldest_ready_at": ready[1] if ready else None,
        "workers": len(serving),
        "slots": sum(w.slots for w in serving),
        "slots_free": sum(w.slots_free for w in serving),
    }
