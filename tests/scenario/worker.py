"""A worker of the simulated cluster: claims, holds, reports, beats; performs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from headway.errors import HeadwayError
from headway.protocol.messages import (
    Claim,
    ClaimBatch,
    Completion,
    Dispatch,
    Heartbeat,
    Held,
    Outcome,
    Register,
    Sealed,
    StepError,
    Work,
)
from headway.protocol.proof import completion_token, seal
from headway_coordinator.application.ports import Storage
from headway_coordinator.application.worker_ports import ClaimResult, HeartbeatResult
from tests.scenario.coordinator import WORKER_LEASE

TEAM = "t"


@dataclass(frozen=True)
class Holding:
    """A claim that was won."""

    attempt: str
    fence: int
    work: Work
    token: str
    since: datetime


@dataclass
class Worker:
    """Stable name, a boot for each start; `silent` ones send no heartbeats of themselves."""

    name: str
    storage: Storage
    key: bytes
    slots: int
    classes: list[str]
    boot_no: int = 1
    alive: bool = True
    silent: bool = False
    beat_at: float = 0.0
    running: dict[str, Holding] = field(default_factory=dict)
    unacknowledged: dict[str, tuple[Holding, Sealed]] = field(default_factory=dict)
    left: list[Held] = field(default_factory=list)

    @property
    def boot(self) -> str:
        return f"{self.name}-{self.boot_no}"

    @property
    def queues(self) -> list[str]:
        return [f"{TEAM}.{name}" for name in self.classes]

    def register(self) -> None:
        message = Register(
            worker=self.name,
            boot=self.boot,
            classes=self.classes,
            slots=self.slots,
            hostname="host",
            machine_boot="m",
            version="0",
        )
        self.storage.workers.register(TEAM, message)

    def restart(self) -> None:
        """Start anew with what the journal knows: what ran before was killed and is reaped."""
        self.left = [Held(attempt=h.attempt, fence=h.fence) for h in self.running.values()]
        self.running.clear()
        self.boot_no += 1
        self.alive = True
        self.register()

    def knows(self, attempt: str) -> bool:
        """Say whether the attempt runs here or waits here for its acknowledgement.

        A claim of it would be answered as before, which gives no right to perform it twice.
        """
        return attempt in self.running or attempt in self.unacknowledged

    def claim(
        self, dispatches: Sequence[Dispatch], now: datetime, *, boot: str | None = None
    ) -> list[str]:
        """Return what each claim got: `won`, a reason, `superseded` or `no answer`."""
        claims = [
            Claim(attempt=d.attempt, fence=d.fence, dispatch_no=d.dispatch_no, queue=d.queue)
            for d in dispatches
        ]
        batch = ClaimBatch(worker=self.name, boot=boot or self.boot, claims=claims)
        try:
            answers = self.storage.workers.claim(TEAM, batch, WORKER_LEASE)
        except HeadwayError as error:
            return [f"no answer ({error.code})"] * len(claims)
        if answers is None:
            return ["superseded"] * len(claims)
        return [self._note(answer, batch.boot, now) for answer in answers]

    def _note(self, answer: ClaimResult, boot: str, now: datetime) -> str:
        if answer.work is None:
            return f"lost: {answer.reason}"
        token = completion_token(
            self.key, attempt=answer.attempt, fence=answer.fence, worker=self.name, boot=boot
        )
        again = answer.attempt in self.running
        self.running[answer.attempt] = Holding(
            answer.attempt, answer.fence, answer.work, token, now
        )
        return "won again" if again else "won"

    def complete(self, attempt: str, said: Mapping[str, Any], now: datetime) -> Sealed:
        """End the attempt here and return its completion, kept until it is acknowledged."""
        holding = self.running.pop(attempt)
        outcome = Outcome(said["outcome"])
        error = (
            None if outcome is Outcome.SUCCEEDED else StepError(code="failed", message="said so")
        )
        completion = Completion(
            attempt=attempt,
            fence=holding.fence,
            run=holding.work.run,
            step=holding.work.step,
            worker=self.name,
            boot=self.boot,
            seq=1,
            outcome=outcome,
            reason=said.get("reason"),
            exit_code=0 if outcome is Outcome.SUCCEEDED else 1,
            error=error,
            outputs=said.get("outputs", {}),
            started_at=holding.since,
            finished_at=now,
        )
        body = completion.model_dump_json()
        sealed = Sealed(body=body, mac=seal(body.encode(), holding.token))
        self.unacknowledged[attempt] = (holding, sealed)
        return sealed

    def beat(self) -> HeartbeatResult:
        """Send a heartbeat and believe its answer."""
        held = [Held(attempt=h.attempt, fence=h.fence) for h in self.running.values()]
        done = [Held(attempt=h.attempt, fence=h.fence) for h, _ in self.unacknowledged.values()]
        message = Heartbeat(
            worker=self.name,
            boot=self.boot,
            slots=self.slots,
            slots_free=max(0, self.slots - len(held)),
            running=held,
            finished=done,
            reaped=self.left,
        )
        answer = self.storage.workers.heartbeat(TEAM, message, WORKER_LEASE)
        self.left = []
        for attempt in answer.lost:
            self.running.pop(attempt, None)
        for attempt in answer.acknowledged:
            self.unacknowledged.pop(attempt, None)
        if answer.superseded:
            self.alive = False
            self.running.clear()
        return answer
