"""What is wrong with an installation, as far as its database tells: leader, queues, workers.

Each finding names the mend. The caller sees the queues and workers of its own teams alone.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from headway.findings import Finding, fine, note, wrong
from headway.ids import made_at
from headway.protocol.queues import split_queue, step_queue
from headway_coordinator.application.hook_secrets import CHECK, unprovable_webhooks
from headway_coordinator.application.plans import Plans
from headway_coordinator.application.ports import Lease, Storage
from headway_coordinator.application.secrets import Secrets
from headway_coordinator.application.worker_ports import Unclaimed, WorkerInfo

LEASE = "advance/0"
_PATIENCE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Sight:
    """One look at the database. `running` counts each worker's running attempts; `wanted` are the
    queues that some stored pipeline names."""

    now: datetime
    lease: Lease | None
    queues: Sequence[Mapping[str, Any]]
    workers: Sequence[WorkerInfo]
    running: Mapping[str, int]
    unclaimed: Sequence[Unclaimed]
    wanted: frozenset[str]


def diagnose(
    storage: Storage, secrets: Secrets, *, teams: Sequence[str] | None, live_within: timedelta
) -> list[Finding]:
    """Return what is to be said of the installation to somebody who may see `teams` (None: all)."""
    sight = look(storage, teams=teams, live_within=live_within)
    hooks = unprovable_webhooks(storage.triggers.listing(teams), secrets.readable(teams))
    return [
        leader(sight),
        *_or_fine(forsaken_queues(sight), "queues.served", "every waiting step has a worker"),
        *_or_fine(idle_queues(sight), "workers.wanted", "every worker has a pipeline's queue"),
        *_or_fine(deaf_workers(sight), "workers.hearing", "no worker leaves its queue unheard"),
        *_or_fine(hooks, CHECK, "every webhook has a secret that can be read"),
    ]


def look(storage: Storage, *, teams: Sequence[str] | None, live_within: timedelta) -> Sight:
    """Return what the database says now."""

    def seen(team: str) -> bool:
        return teams is None or team in teams

    running: dict[str, int] = {}
    for part in storage.sweeps.occupancy():
        if part.worker is not None:
            running[part.worker] = running.get(part.worker, 0) + part.count
    return Sight(
        now=storage.sweeps.database_now(),
        lease=storage.leases.current(LEASE),
        queues=storage.queries.queues(teams=teams),
        workers=[w for w in storage.workers.live(live_within) if seen(w.team)],
        running=running,
        unclaimed=[u for u in storage.sweeps.unclaimed() if seen(u.dispatch.team)],
        wanted=_wanted(storage, teams),
    )


def _wanted(storage: Storage, teams: Sequence[str] | None) -> frozenset[str]:
    plans = Plans(storage.definitions)
    return frozenset(
        step_queue(row["team"], step.resource_class)
        for row in storage.definitions.listing(teams=teams)
        for step in plans.get(row["digest"]).steps
    )


def leader(sight: Sight) -> Finding:
    """Say who leads and since when its process lives, or what to do if nobody does."""
    lease, check = sight.lease, "leader"
    mend = "start `headway coordinator`; if one runs, its log says why it does not lead"
    if lease is None:
        return wrong(check, "no coordinator has ever led", mend)
    left = lease.expires_at - sight.now
    if left <= timedelta():
        message = f"nobody leads: the lease of {lease.holder} ran out {_span(-left)} ago"
        return wrong(check, message, mend)
    started = made_at(lease.boot)
    age = f", started {_span(sight.now - started)} ago" if started else ""
    message = f"{lease.holder} leads (epoch {lease.epoch}{age}); its lease has {_span(left)} left"
    return fine(check, message)


def forsaken_queues(sight: Sight) -> Iterator[Finding]:
    """Yield each queue in which steps wait although no live worker consumes it."""
    serving = {queue for w in sight.workers if not w.draining for queue in w.queues}
    for row in sight.queues:
        waits = row["ready"] + row["dispatched"]
        if not waits or row["queue"] in serving:
            continue
        since = row["oldest_ready_at"]
        age = f" for {_span(sight.now - since)}" if since else ""
        mend = f"headway worker --team {row['team']} --class {row['class']}"
        message = f"{waits} steps wait{age}, and no worker consumes the queue"
        yield wrong("queues.served", message, mend, subject=row["queue"])


def idle_queues(sight: Sight) -> Iterator[Finding]:
    """Yield each live worker with no queue that a pipeline names: a class misspelt, often."""
    busy = {row["queue"] for row in sight.queues if row["ready"] + row["dispatched"]}
    for worker in sight.workers:
        if worker.queues and not {*worker.queues} & (sight.wanted | busy):
            message = f"no pipeline uses {', '.join(worker.queues)}"
            mend = f"check HEADWAY_CLASSES; {_used_by(worker.team, sight.wanted)}"
            yield note("workers.wanted", message, mend, subject=worker.worker)


def _used_by(team: str, queues: frozenset[str]) -> str:
    pairs = [split_queue(queue) for queue in queues]
    classes = ", ".join(sorted(name for owner, name in pairs if owner == team))
    return f"its team's pipelines use: {classes}" if classes else "its team has no pipeline"


def deaf_workers(sight: Sight) -> Iterator[Finding]:
    """Yield each live worker with free slots while its queue holds what nobody took for long.

    That it hears its own queue does not excuse it: a broker may forget one consumer of several.
    """
    oldest: dict[str, datetime] = {}
    for entry in sight.unclaimed:
        queue = entry.dispatch.queue
        oldest[queue] = min(entry.dispatched_at, oldest.get(queue, entry.dispatched_at))
    late = {queue for queue, since in oldest.items() if sight.now - since > _PATIENCE}
    for worker in sight.workers:
        if worker.draining or sight.running.get(worker.worker, 0) >= worker.slots:
            continue
        for queue in sorted(late & {*worker.queues}):
            age = _span(sight.now - oldest[queue])
            message = f"it has free slots, and steps in {queue} wait unclaimed for {age}"
            mend = (
                "if the broker is reachable from its host, restart the worker;"
                " else mend its connection to the broker"
            )
            yield wrong("workers.hearing", message, mend, subject=worker.worker)


def key_fingerprint(key: bytes) -> str:
    """Return 8 hexadecimal digits that are equal where the key is, and tell little of it."""
    return hmac.digest(key, b"headway doctor", "sha256").hex()[:8]


def _or_fine(found: Iterator[Finding], check: str, message: str) -> list[Finding]:
    return list(found) or [fine(check, message)]


def _span(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
