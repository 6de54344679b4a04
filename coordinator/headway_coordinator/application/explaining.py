"""Why the steps of a run do not run: the engine's reasons, then what admission waits for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from headway.clock import rfc3339
from headway.errors import ForbiddenError
from headway.plan.children import parent_of
from headway.protocol.queues import step_queue
from headway_coordinator.application.pause_ports import Holds
from headway_coordinator.application.plans import Plans
from headway_coordinator.application.ports import InGroup, Storage, StoredRun
from headway_coordinator.application.worker_ports import WorkerInfo
from headway_coordinator.engine.explain import Blocker, explain
from headway_coordinator.engine.model import Step
from headway_coordinator.engine.state import RunState
from headway_coordinator.engine.states import RUN_TERMINAL, StepStatus

_MOST_CHILDREN = 20
_LEASE = "advance/0"


def explain_run(
    storage: Storage, run: str, *, live_within: timedelta, broker_answers: Callable[[], bool]
) -> dict[str, Any]:
    """Return `{"steps": [{"step", "blockers": [{"code", "since", "subject", "message"}]}]}`.

    A worker counts as live if it was heard of within `live_within`. Whether the broker answers is
    asked only if a step waits for it. Steps that run or have ended
    are left out; of a run that is set aside, only those that have ended. Raises ForbiddenError
    (404) for an unknown run.
    """
    stored = storage.runs.load([run])
    if not stored:
        return _not_yet(storage, run)
    explained = _set_aside(stored[0])
    if explained is None:
        state = _state(storage, stored[0])
        view = _View(storage, state, live_within, broker_answers)
        explained = [(step.key, view.blockers(step)) for step in _some_of_each(state)]
    return {
        "steps": [
            {"step": key, "blockers": [_as_dict(b) for b in blockers]}
            for key, blockers in explained
            if blockers
        ]
    }


def _some_of_each(state: RunState) -> Iterator[Step]:
    """Yield the steps, but of many children only the first ones that are open: they wait alike."""
    shown: Counter[str] = Counter()
    for step in state.steps.values():
        parent = parent_of(step.key)
        if parent == step.key:
            yield step
        elif not step.terminal and shown[parent] < _MOST_CHILDREN:
            shown[parent] += 1
            yield step


def _state(storage: Storage, stored: StoredRun) -> RunState:
    plan = Plans(storage.definitions).get(stored.run.digest)
    return RunState.of(plan, stored.run, stored.steps)


def _set_aside(stored: StoredRun) -> list[tuple[str, list[Blocker]]] | None:
    """Nobody advances such a run, so what else its steps seem to wait for does not matter.

    Its rows may make no sense together, so no state is built of them. None: it is not set aside.
    """
    if stored.quarantine is None or stored.run.status in RUN_TERMINAL:
        return None
    message = f"the run is set aside and does not move: {stored.quarantine}"
    blocker = Blocker("quarantined", None, stored.run.id, message)
    return [(step.key, [blocker]) for step in stored.steps if not step.terminal]


def _not_yet(storage: Storage, run: str) -> dict[str, Any]:
    """A run that only the inbox knows has no steps yet; without a leader it never will."""
    if storage.queries.run(run) is None:
        raise ForbiddenError("not_found", f"there is no run {run}", status=404)
    return {"steps": []}


class _View:
    """What one explanation needs to see; each row is read once."""

    def __init__(
        self,
        storage: Storage,
        state: RunState,
        live_within: timedelta,
        broker_answers: Callable[[], bool],
    ) -> None:
        self._state = state
        self._storage = storage
        self._group: list[InGroup] | None = None
        self._broker_answers = cache(broker_answers)
        self._workers = storage.workers.live(live_within)
        self._running: dict[str, int] = {}
        self._dispatched: set[str] = set()
        for part in storage.sweeps.occupancy():
            if part.worker is not None:
                self._running[part.worker] = self._running.get(part.worker, 0) + part.count
        lease = storage.leases.current(_LEASE)
        self._leader_gone = lease is None or lease.expires_at < storage.sweeps.database_now()
        self._holds = Holds(storage.pauses.all())
        self._unclaimed = {u.dispatch.attempt: u for u in storage.sweeps.unclaimed()}

    def blockers(self, step: Step) -> list[Blocker]:
        found = [self._with_holders(b) for b in explain(self._state, step.key)]
        if step.status is StepStatus.READY:
            held = self._held(step)
            found += [held] if held else self._admission(step, step.ready_at)
        elif step.live is not None and step.live.id in self._unclaimed:
            entry = self._unclaimed[step.live.id]
            found += self._admission(step, step.ready_at) or [
                Blocker(
                    "no_slot",
                    entry.dispatched_at,
                    entry.dispatch.queue,
                    f"dispatched to {entry.dispatch.queue}; no worker has taken it yet",
                )
            ]
        is_on_its_way = step.status is StepStatus.READY or step.live is not None
        if found and is_on_its_way and not self._broker_answers():
            message = "the broker does not answer: nothing is dispatched, and no worker hears of it"
            found.insert(0, Blocker("broker_down", None, "broker", message))
        if found and self._leader_gone:
            found.insert(
                0, Blocker("no_leader", None, _LEASE, "no coordinator leads; nothing is dispatched")
            )
        return found

    def _with_holders(self, blocker: Blocker) -> Blocker:
        """Say of a run that waits for its turn who has it, and who comes before."""
        group = self._state.run.group
        if blocker.code != "limit" or group is None:
            return blocker
        if self._group is None:
            self._group = self._storage.runs.in_group(group)
        holding = [r for r in self._group if r.started_at is not None]
        names = [r.run for r in self._group if r.started_at is None]
        before = names.index(self._state.run.id) if self._state.run.id in names else 0
        said = ", ".join(
            f"run {r.run} since {rfc3339(r.started_at)}" for r in holding[:5] if r.started_at
        )
        limit = self._state.plan.limit
        message = f"waits for its turn: {limit} at once, under way: {said or 'none'}"
        if before:
            message += f"; {before} before it"
        subject = holding[0].run if holding else group
        return Blocker(blocker.code, blocker.since, subject, message)

    def _admission(self, step: Step, since: datetime | None) -> list[Blocker]:
        planned = self._state.plan.of(step.key)
        queue = step_queue(self._state.run.team, planned.resource_class)
        serving = [w for w in self._workers if queue in w.queues and not w.draining]
        if not serving:
            message = (
                f"no live worker serves {queue}; start one with: "
                f"headway worker --team {self._state.run.team} --class {planned.resource_class}"
            )
            return [Blocker("no_worker", since, queue, message)]
        if all(self._busy(w) for w in serving):
            slots = sum(w.slots for w in serving)
            message = f"all {slots} slots of the workers of {queue} are taken"
            return [Blocker("no_slot", since, queue, message)]
        return []

    def _held(self, step: Step) -> Blocker | None:
        """Return who holds the ready step's team, queue or pipeline back."""
        run, planned = self._state.run, self._state.plan.of(step.key)
        held = self._holds.queue(step_queue(run.team, planned.resource_class))
        held = held or self._holds.pipeline(run.team, run.pipeline)
        if held is None:
            return None
        because = f": {held.reason}" if held.reason else ""
        message = f"{held.subject} is paused by {held.by}{because}"
        return Blocker("paused", held.at, held.subject, message)

    def _busy(self, worker: WorkerInfo) -> bool:
        return self._running.get(worker.worker, 0) >= worker.slots


def _as_dict(blocker: Blocker) -> Mapping[str, Any]:
    return {
        "code": blocker.code,
        "since": rfc3339(blocker.since) if blocker.since else None,
        "subject": blocker.subject,
        "message": blocker.message,
    }
