"""What happened to the steps of a simulated run: starts, ends, waits, and what waited for what."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from headway.plan.children import child_index
from headway.plan.model import Plan, PlanStep
from headway.protocol.queues import step_queue
from headway.simulation.parts import SimulatedStep, Wait
from headway_coordinator.application.resolving import is_outside
from headway_coordinator.engine.explain import explain
from headway_coordinator.engine.model import Step, StepMoved
from headway_coordinator.engine.state import RunState
from headway_coordinator.engine.states import StepStatus

# The engine's reasons of a skipped step, in the words of the definition's keys.
_KEYS = {"upstream": "when", "condition": "if"}


@dataclass(slots=True)
class _Track:
    """One step so far. `since` is when it began to wait for `code`."""

    started: datetime | None = None
    released_by: str | None = None
    code: str | None = None
    since: datetime | None = None
    waits: dict[tuple[str, str], float] = field(default_factory=dict)


class Story:
    """Is told every move in order, and says in the end how each step fared."""

    def __init__(self, plan: Plan, began: datetime, slots: Mapping[str, int]) -> None:
        self._plan = plan
        self._began = began
        self._slots = slots
        self._tracks: dict[str, _Track] = defaultdict(_Track)  # children come as they are made
        self._ended: dict[str, int] = {}  # in which order; a place each
        self._last_main: str | None = None

    def started(self, key: str, at: datetime) -> None:
        """An attempt of the step got a slot, or a wait of its own began."""
        track = self._tracks[key]
        self._stop_waiting(key, at)
        if track.started is None:
            track.started = at

    def moved(self, move: StepMoved, at: datetime) -> None:
        """The step took another state."""
        before, after = move.before.status, move.after.status
        key = move.after.key
        if before is StepStatus.PENDING and after is not StepStatus.PENDING:
            self._released(key, after, at)
        if (before, after) != (StepStatus.READY, StepStatus.RUNNING):  # it has no slot yet
            self._stop_waiting(key, at)
        if after is StepStatus.DEFERRED or (after is StepStatus.RUNNING and not move.after.live):
            self.started(key, at)
        elif after is StepStatus.READY and not is_outside(self._plan, key):
            self._wait(key, self._line(self._plan.of(key)), at)
        elif after is StepStatus.RETRY_WAIT:
            self._wait(key, "retry_at", at)
        elif move.after.terminal:
            self._end(key)

    def _released(self, key: str, after: StepStatus, at: datetime) -> None:
        """Note which step's end let this one go on; of several, the last."""
        planned = self._plan.of(key)
        ended = [need for need in planned.needs if need in self._ended]
        cause = max(ended, key=self._ended.__getitem__, default=None)
        if cause is None and planned.final:
            cause = self._last_main
        self._tracks[key].released_by = cause
        if cause is not None and after is StepStatus.READY:
            self._add(key, "upstream", cause, self._began, at)

    def _line(self, planned: PlanStep) -> str:
        return "no_slot" if self._slots[planned.resource_class] else "no_worker"

    def _wait(self, key: str, code: str, at: datetime) -> None:
        track = self._tracks[key]
        track.code, track.since = code, at

    def _stop_waiting(self, key: str, at: datetime) -> None:
        track = self._tracks[key]
        if track.code is None or track.since is None:
            return
        subject = key if track.code == "retry_at" else self._queue(key)
        self._add(key, track.code, subject, track.since, at)
        track.code = track.since = None

    def _queue(self, key: str) -> str:
        return step_queue(self._plan.team, self._plan.of(key).resource_class)

    def _add(self, key: str, code: str, subject: str, since: datetime, at: datetime) -> None:
        waited = (at - since).total_seconds()
        if waited > 0:
            waits = self._tracks[key].waits
            waits[code, subject] = waits.get((code, subject), 0.0) + waited

    def _end(self, key: str) -> None:
        self._ended[key] = len(self._ended)
        if not self._plan.of(key).final:
            self._last_main = key

    # --- the end ---------------------------------------------------------------------------------

    def steps(self, state: RunState, now: datetime) -> tuple[SimulatedStep, ...]:
        """Return how every step fared, in the order in which they started, or ended unstarted."""
        for key in self._tracks:
            self._stop_waiting(key, now)
        return tuple(sorted((self._told(state, s) for s in state.steps.values()), key=self._place))

    def _told(self, state: RunState, step: Step) -> SimulatedStep:
        track = self._tracks[step.key]
        error = step.error or {}
        return SimulatedStep(
            name=step.key,
            state=str(step.status),
            reason=self._reason(state, step),
            started_s=self.seconds(track.started),
            finished_s=self.seconds(step.finished_at),
            attempts=step.attempts,
            waits=tuple(Wait(code, round(s, 3), of) for (code, of), s in track.waits.items()),
            error=error.get("message") if error.get("code") == "expression_error" else None,
        )

    def _place(self, step: SimulatedStep) -> tuple[float, int, int]:
        """At one moment the plan's order is kept, a step before its items."""
        moments = (step.started_s, step.finished_s)
        at = next((each for each in moments if each is not None), math.inf)
        item = child_index(step.name)
        return at, self._plan.of(step.name).index, -1 if item is None else item

    def _reason(self, state: RunState, step: Step) -> str | None:
        match step.status:
            case StepStatus.SUCCEEDED:
                return None
            case StepStatus.SKIPPED:
                return _KEYS.get(step.reason or "", step.reason)
            case StepStatus.UPSTREAM_FAILED:
                return "upstream_failed"
            case StepStatus.READY | StepStatus.RUNNING:
                return self._line(self._plan.of(step.key))
            case _ if step.terminal:
                return step.reason
            case _:
                return next((blocker.code for blocker in explain(state, step.key)), None)

    def seconds(self, at: datetime | None) -> float | None:
        """Return a time as seconds since the run's start, to the millisecond."""
        return None if at is None else round((at - self._began).total_seconds(), 3)

    def critical_path(self, state: RunState) -> tuple[str, ...]:
        """Return the steps that held up the end: each could start when the one before had ended.

        The last of them is the one that ended last; waits for a slot are none of its business.
        """
        started = [key for key in self._ended if self._tracks[key].started is not None]
        at = {key: state.steps[key].finished_at or self._began for key in started}
        path: list[str] = []
        step = max(started, key=lambda key: (at[key], self._ended[key]), default=None)
        while step is not None:
            if self._tracks[step].started is not None:  # the others took no time
                path.append(step)
            step = self._tracks[step].released_by
        return tuple(reversed(path))
