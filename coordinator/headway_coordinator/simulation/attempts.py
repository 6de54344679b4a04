"""How an attempt of a step goes: what is assumed of it, within the limits that the step has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from headway.clock import rfc3339
from headway.plan.model import Kind, Plan, PlanStep
from headway.simulation.parts import DURATION, Assumed, split_attempt
from headway_coordinator.engine.events import Finished
from headway_coordinator.engine.model import Live

_IMPLIED = {Kind.HTTP: {"status": 200}, Kind.SQL: {"count": 1}}


@dataclass(frozen=True, slots=True)
class Performance:
    """What becomes of one attempt, and how long it takes."""

    outcome: str
    takes: timedelta


class Performances:
    """Answers what each attempt does. Steps without a word about them succeed within a second."""

    def __init__(self, assumed: Assumed) -> None:
        self._assumed = assumed
        self._outcomes = {split_attempt(k): outcome for k, outcome in assumed.outcomes.items()}

    def of(self, planned: PlanStep, no: int) -> Performance:
        """Return how attempt `no` of a step goes; what is over its time is cut off there."""
        everywhere = self._outcomes.get((planned.key, None), "succeeded")
        outcome = self._outcomes.get((planned.key, no), everywhere)
        takes = self.duration(planned)
        limit = planned.timeout
        if outcome == "timed_out":
            return Performance(outcome, limit or takes)
        if limit is not None and takes > limit:
            return Performance("timed_out", limit)
        return Performance(outcome, takes)

    def duration(self, planned: PlanStep) -> timedelta:
        """Return how long an attempt would take if nothing stopped it."""
        given = self._assumed.durations.get(planned.key)
        if given is not None:
            return given
        return DURATION if planned.timeout is None else min(DURATION, planned.timeout)

    def outputs(self, planned: PlanStep) -> dict[str, Any]:
        """Return the step's outputs: those assumed, and for the others an example of their type."""
        declared = planned.body.get("outputs") or {}
        found = {name: example(kind, self._assumed.logical_date) for name, kind in declared.items()}
        implied: Mapping[str, Any] = _IMPLIED.get(planned.kind, {})
        return {**implied, **found, **self._assumed.outputs.get(planned.key, {})}

    def with_examples(self, plan: Plan) -> tuple[str, ...]:
        """Return the steps of which an output is an example."""
        return tuple(
            step.key
            for step in plan.steps
            if set(step.body.get("outputs") or {}) - set(self._assumed.outputs.get(step.key, {}))
        )


def example(kind: str, moment: datetime) -> Any:
    """Return the value that stands for an output of a type: of numbers 1, `true`, never empty."""
    match kind:
        case "int":
            return 1
        case "float":
            return 1.0
        case "bool":
            return True
        case "date":
            return rfc3339(moment)[:10]
        case "datetime":
            return rfc3339(moment)
        case "duration":
            return "1s"
        case "list":
            return ["example"]
        case "object":
            return {"example": "example"}
        case _:
            return "example"


def finished(live: Live, outcome: str, outputs: Mapping[str, Any]) -> Finished:
    """Return the event of an attempt's end as a worker, or the sweep for a lost one, tells it."""
    if outcome == "lost":
        error = {"code": "infra_lost", "message": "the worker was lost"}
        return Finished(live.id, live.fence, outcome, reason="lease_expired", error=error)
    return Finished(live.id, live.fence, outcome, outputs=outputs)
