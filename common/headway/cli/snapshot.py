"""A run as the API shows it at one moment, read with tolerance for keys that are not there yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headway.cli.printing import between, rows_of

_TERMINAL = frozenset({"succeeded", "failed", "cancelled", "timed_out"})
_NOT_DONE = frozenset(
    {"pending", "ready", "running", "retry_wait", "deferred", "awaiting_approval"}
)


def terminal(run_state: str) -> bool:
    """Return whether a run in that state has ended."""
    return run_state in _TERMINAL


@dataclass(frozen=True, slots=True)
class StepView:
    """One step; `attempts` are the API's rows, oldest first.

    A step with `items` has so many children, and of each state so many as `children` says; its
    outputs are a list, one for each.
    """

    name: str
    state: str
    reason: str | None
    outputs: Any
    artifacts: tuple[Mapping[str, Any], ...]
    attempts: tuple[Mapping[str, Any], ...]
    error: Any
    due_at: str | None
    items: int | None = None
    children: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_child(self) -> bool:
        return "[" in self.name

    def spread(self) -> str | None:
        """Return how far the items of a step have come, such as `3 of 10 items, 1 failed`."""
        if self.items is None:
            return None
        counts = {state: self.children.get(state, 0) for state in ("succeeded", "failed")}
        failed = f", {counts['failed']} failed" if counts["failed"] else ""
        return f"{sum(counts.values())} of {self.items} items{failed}"

    @property
    def done(self) -> bool:
        return self.state not in _NOT_DONE

    @property
    def phase(self) -> str:
        """Return the state, but `dispatched` of a running step that no worker has taken yet."""
        waits = bool(self.attempts) and self.attempts[-1].get("state") == "dispatched"
        return "dispatched" if waits and self.state == "running" else self.state

    @property
    def tries(self) -> int:
        """Return how many attempts were made."""
        return len(self.attempts)

    def seconds(self, now: str | None = None) -> float | None:
        """Return how long the last attempt ran, or has been running at `now`."""
        if not self.attempts:
            return None
        last = self.attempts[-1]
        return between(last.get("started_at"), last.get("finished_at") or now)

    def failure(self) -> str | None:
        """Return the first line of what went wrong, from the step or its last failed attempt."""
        causes = [self.error, *(row.get("error") for row in reversed(self.attempts))]
        text = next((said for cause in causes if (said := _message(cause))), None)
        return text.splitlines()[0] if text else None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run; `raw` is the document that the API answered."""

    id: str
    pipeline: str
    team: str
    state: str
    reason: str | None
    steps: tuple[StepView, ...]
    raw: Mapping[str, Any]

    @property
    def still(self) -> bool:
        """Return whether the run has ended, or is set aside: it does not move any more."""
        return terminal(self.state) or bool(self.raw.get("quarantine"))

    def seconds(self) -> float | None:
        """Return how long the run took, from its start or else from its making."""
        start = self.raw.get("started_at") or self.raw.get("created_at")
        return between(start, self.raw.get("finished_at"))

    def brief(self) -> dict[str, dict[str, Any]]:
        """Return the steps as `headway run --wait --json` prints them."""
        return {
            step.name: {
                "state": step.state,
                "attempts": step.tries,
                "reason": step.reason,
                "outputs": step.outputs,
            }
            for step in self.steps
            if not step.is_child
        }


def snapshot(document: Mapping[str, Any]) -> Snapshot:
    """Return the run that the API's document shows."""
    return Snapshot(
        id=str(document.get("id")),
        pipeline=str(document.get("pipeline")),
        team=str(document.get("team") or "-"),
        state=str(document.get("state")),
        reason=document.get("reason"),
        steps=tuple(_step(row) for row in rows_of(document, "steps")),
        raw=document,
    )


def _step(row: Mapping[str, Any]) -> StepView:
    outputs = row.get("outputs")
    return StepView(
        name=str(row.get("step") or row.get("name")),
        state=str(row.get("state")),
        reason=row.get("reason"),
        outputs=outputs if isinstance(outputs, Mapping | list) else {},
        artifacts=tuple(rows_of(row, "artifacts")),
        attempts=tuple(rows_of(row, "attempts")),
        error=row.get("error"),
        due_at=row.get("due_at"),
        items=items if isinstance(items := row.get("items"), int) else None,
        children=counts if isinstance(counts := row.get("children"), Mapping) else {},
    )


def _message(cause: Any) -> str | None:
    text = cause.get("message") if isinstance(cause, Mapping) else cause
    return str(text) if text else None
