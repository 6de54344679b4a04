"""Every state and every legal move; the lifecycle diagram and CHECK constraints come from here."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class RunStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"


class StepStatus(StrEnum):
    PENDING = "pending"
    READY = "ready"
    RUNNING = "running"
    RETRY_WAIT = "retry_wait"
    DEFERRED = "deferred"
    AWAITING_APPROVAL = "awaiting_approval"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    UPSTREAM_FAILED = "upstream_failed"


class AttemptStatus(StrEnum):
    DISPATCHED = "dispatched"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"


R, S, A = RunStatus, StepStatus, AttemptStatus

RUN_TERMINAL = frozenset({R.SUCCEEDED, R.FAILED, R.CANCELLED, R.TIMED_OUT})
STEP_TERMINAL = frozenset({S.SUCCEEDED, S.FAILED, S.SKIPPED, S.CANCELLED, S.UPSTREAM_FAILED})
STEP_STARTED = frozenset(
    {S.READY, S.RUNNING, S.RETRY_WAIT, S.DEFERRED, S.AWAITING_APPROVAL}
)  # and not ended
ATTEMPT_LIVE = frozenset({A.DISPATCHED, A.RUNNING})
ATTEMPT_TERMINAL = frozenset(set(A) - ATTEMPT_LIVE)

RUN_MOVES: Mapping[RunStatus, frozenset[RunStatus]] = {
    R.QUEUED: frozenset({R.RUNNING, R.CANCELLING}),
    R.RUNNING: frozenset({R.PAUSED, R.CANCELLING, R.SUCCEEDED, R.FAILED}),
    R.PAUSED: frozenset({R.RUNNING, R.CANCELLING, R.SUCCEEDED, R.FAILED}),
    R.CANCELLING: frozenset({R.CANCELLED, R.TIMED_OUT, R.FAILED}),
    **{state: frozenset() for state in RUN_TERMINAL},
}

STEP_MOVES: Mapping[StepStatus, frozenset[StepStatus]] = {
    S.PENDING: frozenset({S.READY, S.SKIPPED, S.UPSTREAM_FAILED, S.CANCELLED, S.FAILED}),
    S.READY: frozenset(
        {S.PENDING, S.RUNNING, S.DEFERRED, S.AWAITING_APPROVAL, S.FAILED, S.CANCELLED}
    ),
    S.RUNNING: frozenset({S.SUCCEEDED, S.FAILED, S.RETRY_WAIT, S.READY, S.PENDING, S.CANCELLED}),
    S.RETRY_WAIT: frozenset({S.READY, S.PENDING, S.CANCELLED}),
    S.DEFERRED: frozenset({S.SUCCEEDED, S.FAILED, S.CANCELLED}),
    S.AWAITING_APPROVAL: frozenset({S.SUCCEEDED, S.FAILED, S.CANCELLED}),
    **{state: frozenset() for state in STEP_TERMINAL},
}

ATTEMPT_MOVES: Mapping[AttemptStatus, frozenset[AttemptStatus]] = {
    A.DISPATCHED: frozenset({A.RUNNING, A.CANCELLED}),
    A.RUNNING: frozenset({A.SUCCEEDED, A.FAILED, A.TIMED_OUT, A.CANCELLED, A.LOST}),
    **{state: frozenset() for state in ATTEMPT_TERMINAL},
}

# Moves that only a person's retry makes: the ended run goes on with new attempts of what failed.
RUN_REOPENED = frozenset({R.FAILED, R.CANCELLED, R.TIMED_OUT})
STEP_REOPENED = frozenset({S.FAILED, S.CANCELLED, S.UPSTREAM_FAILED, S.SKIPPED, S.SUCCEEDED})
