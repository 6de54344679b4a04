"""What batches did, for metrics, logs and tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from headway_coordinator.engine.events import Finished
from headway_coordinator.engine.model import Run, Step

log = structlog.get_logger("headway.advance")


@dataclass(slots=True)
class Report:
    """What one batch did, for metrics and tests."""

    events: int = 0
    inbox: int = 0
    ignored: int = 0
    dispatched: int = 0
    runs_created: int = 0
    rolled_back: int = 0
    told: int = 0
    runs_ended: list[Run] = field(default_factory=list)
    steps_ended: list[Step] = field(default_factory=list)
    attempts_ended: list[Finished] = field(default_factory=list)
    queue_waits: list[tuple[str, timedelta]] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)

    def add(self, part: Report) -> None:
        """Count the part's doings in."""
        self.events += part.events
        self.inbox += part.inbox
        self.ignored += part.ignored
        self.dispatched += part.dispatched
        self.told += part.told
        self.runs_created += part.runs_created
        self.runs_ended += part.runs_ended
        self.steps_ended += part.steps_ended
        self.attempts_ended += part.attempts_ended
        self.queue_waits += part.queue_waits
        self.quarantined += part.quarantined


def log_end(run: Run) -> None:
    """Log that a run has ended: one line a run."""
    log.info(
        "run_ended",
        run=run.id,
        pipeline=run.pipeline,
        team=run.team,
        state=str(run.status),
        reason=run.reason,
    )
