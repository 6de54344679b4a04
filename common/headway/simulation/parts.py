"""The values that go into a simulation and come out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

GROUP = "headway.simulation"

SLOTS = 4  # of each resource class, as `headway up` has them
DURATION = timedelta(seconds=1)  # of an attempt; where the step may take less, as long as it may
LOGICAL_DATE = datetime(2026, 1, 1, tzinfo=UTC)  # of a test: it gives the same on every day

OUTCOMES = ("succeeded", "failed", "skipped", "timed_out", "lost")
STUCK = ("running", "cancelling")  # nothing lets the run go on
RUN_STATES = ("succeeded", "failed", "cancelled", "timed_out", *STUCK)
STEP_STATES = (
    *("succeeded", "failed", "skipped", "cancelled", "upstream_failed"),
    *("pending", "ready", "running"),
)
# Why a step did not run, why it failed, and why it waits for ever.
REASONS = (
    *("when", "if", "upstream_failed"),
    *("failed", "timed_out", "infra_lost", "queue_timeout", "expression_error", "cancelled"),
    "foreach_failed",
    *("upstream", "no_worker", "no_slot"),
)


def split_attempt(name: str) -> tuple[str, int | None]:
    """Return the step and the attempt of `step#2`; None for all attempts.

    Raises ValueError: what follows the `#` is no number from 1.
    """
    step, mark, number = name.partition("#")
    if not mark:
        return step, None
    if not (number.isascii() and number.isdigit() and int(number[:9]) > 0):
        raise ValueError(f"`{number[:40]}` is no number of an attempt")
    return step, int(number[:9])


@dataclass(frozen=True, slots=True)
class Assumed:
    """What a simulated run takes for granted; it begins at its logical date.

    `outcomes` are by step, or by `step#2` for one attempt. Outputs are complete or not: examples by
    type stand in for those that are missing. `slots` are by resource class.
    """

    logical_date: datetime
    params: Mapping[str, Any] = field(default_factory=dict)
    outcomes: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    durations: Mapping[str, timedelta] = field(default_factory=dict)
    slots: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a step waited for one thing: an `explain` code, and the step or queue meant."""

    code: str
    seconds: float
    subject: str

    def as_dict(self) -> dict[str, Any]:
        return {"code": self.code, "seconds": self.seconds, "subject": self.subject}


@dataclass(frozen=True, slots=True)
class SimulatedStep:
    """How a step ended, in seconds since the run's start. `error` is the message of an expression
    that failed."""

    name: str
    state: str
    reason: str | None
    started_s: float | None
    finished_s: float | None
    attempts: int
    waits: tuple[Wait, ...] = ()
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "reason": self.reason,
            "started_s": self.started_s,
            "finished_s": self.finished_s,
            "attempts": self.attempts,
        }


@dataclass(frozen=True, slots=True)
class Simulated:
    """What came of a run. Its steps stand in the order in which they started, or ended unstarted.

    A run that can never go on is still `running` (or, timed out, `cancelling`): its steps say what
    they wait for. `slots` are
    those of every class that the pipeline uses; `examples` the steps that gave example outputs.
    """

    state: str
    reason: str | None
    makespan_s: float
    steps: tuple[SimulatedStep, ...]
    critical_path: tuple[str, ...]
    params: Mapping[str, Any]
    slots: Mapping[str, int]
    examples: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        waits = {s.name: [wait.as_dict() for wait in s.waits] for s in self.steps if s.waits}
        return {
            "state": self.state,
            "makespan_s": self.makespan_s,
            "steps": {step.name: step.as_dict() for step in self.steps},
            "reason": self.reason,
            "critical_path": list(self.critical_path),
            "waits": waits,
            "errors": {step.name: step.error for step in self.steps if step.error},
        }


class Simulate(Protocol):
    """What the entry point gives."""

    def __call__(self, canonical: Mapping[str, Any], digest: str, assumed: Assumed) -> Simulated:
        """Return what becomes of a run of the definition. Raises DefinitionError for its params."""
