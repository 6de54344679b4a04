"""A leader, workers and runs in a few words, so that a test spells only what it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from headway.ids import attempt_id
from headway.plan.model import Kind, Plan, PlanStep, Retry, When
from headway.protocol.messages import (
    Claim,
    ClaimBatch,
    Heartbeat,
    Held,
    LostReason,
    Register,
)
from headway_coordinator.application.advancing_ports import Advancing
from headway_coordinator.application.ports import Lease, Storage, StoredRun
from headway_coordinator.application.worker_ports import ClaimResult, HeartbeatResult
from headway_coordinator.engine.model import (
    AttemptEnded,
    AttemptMade,
    Live,
    Run,
    Step,
    StepMoved,
    StopAttempts,
)
from headway_coordinator.engine.state import RunState
from headway_coordinator.engine.states import RunStatus, StepStatus

NOW = datetime(2026, 3, 1, 6, 0, 0, 123456, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
GONE = timedelta(microseconds=-1)  # a lease or a deadline that is over at once
TEAM, QUEUE = "analytics", "analytics.small"


def plan(keys: Iterable[str] = ("extract", "load"), pipeline: str = "daily") -> Plan:
    """Return steps that need nothing."""
    steps = tuple(
        PlanStep(
            key=key,
            index=index,
            kind=Kind.RUN,
            needs=(),
            when=When.ALL_SUCCEEDED,
            condition=None,
            resource_class="small",
            retry=Retry(),
            timeout=None,
            queue_timeout=None,
            final=False,
            allow_failure=False,
            body={"run": "true"},
        )
        for index, key in enumerate(keys)
    )
    return Plan(
        pipeline=pipeline,
        team=TEAM,
        digest="d1",
        priority=0,
        timeout=None,
        code=None,
        steps=steps,
        by_key={s.key: s for s in steps},
        dependents={},
    )


def settle(transaction: Advancing) -> None:
    """Return once all that was sent has been done; the first of it locks the lease row."""
    _ = transaction.now


def run(id: str, **fields: Any) -> Run:
    given: dict[str, Any] = {
        "team": TEAM,
        "pipeline": "daily",
        "digest": "d1",
        "status": RunStatus.RUNNING,
        "params": {"day": "2026-03-01"},
        "actor": "ann",
        "priority": 0,
        "logical_date": NOW,
        "created_at": NOW,
        **fields,
    }
    return Run(id=id, **given)


def state(id: str, keys: Iterable[str] = ("extract", "load"), **fields: Any) -> RunState:
    """Return a running run whose steps are ready."""
    planned = plan(keys, fields.get("pipeline", "daily"))
    ready = [Step(s.key, StepStatus.READY, ready_at=NOW) for s in planned.steps]
    return RunState.of(planned, run(id, **fields), ready)


def work(run_id: str, step: str, no: int) -> dict[str, Any]:
    return {
        "run": run_id,
        "pipeline": "daily",
        "team": TEAM,
        "step": step,
        "no": no,
        "kind": "run",
        "body": {"run": "true"},
        "digest": "d1",
    }


class World:
    """A storage with a leader on it."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        lease = storage.leases.acquire("advance/0", holder="leader", boot="b1", term=MINUTE)
        assert lease is not None
        self.lease: Lease = lease

    def create(self, *states: RunState) -> None:
        with self.storage.advancing(self.lease) as transaction:
            transaction.create_runs(states)

    def load(self, id: str) -> StoredRun:
        [stored] = self.storage.runs.load([id])
        return stored

    def step(self, run_id: str, key: str) -> Step:
        [found] = [s for s in self.load(run_id).steps if s.key == key]
        return found

    def dispatched(
        self, run_id: str = "r1", key: str = "extract", *, claim_within: timedelta = MINUTE
    ) -> AttemptMade:
        """Admit a step of a run (made if need be): its next attempt is dispatched."""
        if not self.storage.runs.load([run_id]):
            self.create(state(run_id))
        with self.storage.advancing(self.lease) as transaction:
            return self.admit(transaction, run_id, key, claim_within)

    def spread(self, *items: object, children: Iterable[Step] | None = None) -> Step:
        """Make a run r1; return its step `extract`, which runs for these items, as it is written.

        Its children are ready, unless others are given.
        """
        made = state("r1")
        self.create(made)
        before = made.steps["extract"]
        after = replace(before, status=StepStatus.RUNNING, attempts=1, items=items)
        count = range(len(items))
        ready = [Step(f"extract[{i}]", StepStatus.READY, ready_at=NOW) for i in count]
        planned = made.plan.by_key["extract"]
        with self.storage.advancing(self.lease) as transaction:
            transaction.move_steps([("r1", StepMoved(before, after))])
            rows = [(made.run, planned, child) for child in children or ready]
            transaction.expand_steps([("r1", after)], rows)
        return after

    def admit(
        self, transaction: Advancing, run_id: str, key: str, claim_within: timedelta = MINUTE
    ) -> AttemptMade:
        stored = self.load(run_id)
        [(index, before)] = [(i, s) for i, s in enumerate(stored.steps) if s.key == key]
        no = before.attempts + 1
        live = Live(attempt_id(run_id, index, no), no, no, QUEUE)
        after = replace(before, status=StepStatus.RUNNING, attempts=no, live=live)
        made = AttemptMade(live.id, run_id, key, no, no, TEAM, QUEUE, work(run_id, key, no))
        transaction.move_steps([(run_id, StepMoved(before, after))])
        transaction.make_attempts([made], claim_within)
        return made

    def running(
        self,
        run_id: str = "r1",
        key: str = "extract",
        *,
        worker: str = "w1",
        boot: str = "b1",
        lease: timedelta = MINUTE,
    ) -> AttemptMade:
        """Dispatch an attempt and let a worker claim it."""
        made = self.dispatched(run_id, key)
        self.register(worker, boot)
        [result] = self.claim([made], worker=worker, boot=boot, lease=lease) or []
        assert result.work is not None
        return made

    def end(self, made: AttemptMade, outcome: str = "succeeded", **fields: Any) -> None:
        with self.storage.advancing(self.lease) as transaction:
            transaction.end_attempts([ended(made, outcome, **fields)])

    def register(self, worker: str = "w1", boot: str = "b1", team: str = TEAM) -> None:
        self.storage.workers.register(team, registration(worker, boot))

    def claim(
        self,
        made: Iterable[AttemptMade],
        *,
        worker: str = "w1",
        boot: str = "b1",
        team: str = TEAM,
        lease: timedelta = MINUTE,
        **changed: Any,
    ) -> list[ClaimResult] | None:
        batch = ClaimBatch(worker=worker, boot=boot, claims=[claim_of(m, **changed) for m in made])
        return self.storage.workers.claim(team, batch, lease)

    def lost(self, made: AttemptMade, **changed: Any) -> LostReason | None:
        """Claim one attempt and return why it was lost."""
        [result] = self.claim([made], **changed) or []
        assert (result.work is None) == (result.reason is not None)
        return result.reason

    def beat(
        self,
        *,
        worker: str = "w1",
        boot: str = "b1",
        lease: timedelta = MINUTE,
        draining: bool = False,
        **held: Iterable[AttemptMade],
    ) -> HeartbeatResult:
        lists: Mapping[str, Any] = {
            name: [Held(attempt=m.attempt, fence=m.fence) for m in made]
            for name, made in held.items()
        }
        beat = Heartbeat(
            worker=worker, boot=boot, slots=4, slots_free=3, draining=draining, **lists
        )
        return self.storage.workers.heartbeat(TEAM, beat, lease)

    def stop(self, made: AttemptMade, *, running: bool = True, reason: str = "cancelled") -> int:
        """Ask the attempt to stop and return how many were withdrawn."""
        with self.storage.advancing(self.lease) as transaction:
            asked = StopAttempts(made.run, (made.attempt,), reason, running)
            return len(transaction.stop_attempts([asked]))

    def state_of(self, made: AttemptMade) -> str:
        return self.storage.workers.holders([made.attempt], team=None)[made.attempt].state


def registration(worker: str, boot: str) -> Register:
    return Register(
        worker=worker,
        boot=boot,
        classes=["small", "io"],
        slots=4,
        hostname="host",
        machine_boot="m1",
        version="0.1.0",
    )


def claim_of(made: AttemptMade, **changed: Any) -> Claim:
    given = {"attempt": made.attempt, "fence": made.fence, "dispatch_no": 1, "queue": made.queue}
    return Claim.model_validate({**given, **changed})


def ended(made: AttemptMade, outcome: str = "succeeded", **fields: Any) -> AttemptEnded:
    return AttemptEnded(made.attempt, made.run, fields.pop("fence", made.fence), outcome, **fields)
