"""Writes of runs and their steps; only the advancing transaction makes them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import BigInteger, Text, update

from headway.plan.model import PlanStep
from headway.protocol.queues import step_queue
from headway_coordinator.engine.model import Paused, Run, RunMoved, Step, StepMoved
from headway_coordinator.engine.state import RunState
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.lines import Line, expecting
from headway_coordinator.storage.rows import insert_all, types_of
from headway_coordinator.storage.schema import run, step

_RUN_MOVED = (
    "state", "started_at", "finished_at", "deadline_at", "verdict", "reason", "request", "paused",
)  # fmt: skip
_RUN_NEW = (
    "id", "team", "pipeline", "digest", "params", "actor", "priority", "logical_date",
    "created_at", "group_key", "origin", "rerun_of", *_RUN_MOVED,
)  # fmt: skip
_STEP_MOVED = (
    "state", "attempts", "failures", "losses", "reason", "due_at", "ready_at", "finished_at",
    "outputs", "artifacts", "error",
)  # fmt: skip
_STEP_NEW = ("run_id", "key", "idx", "queue", *_STEP_MOVED, "items", "progress")

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class RunWrites:
    """One statement a batch: the rows are given as one relation and counted after."""

    def __init__(self, database: Database) -> None:
        self._new_runs = database.rows(**types_of(run, _RUN_NEW))
        self._insert_runs = database.prepared(insert_all(run, _RUN_NEW, self._new_runs))
        self._new_steps = database.rows(**types_of(step, _STEP_NEW))
        self._insert_steps = database.prepared(insert_all(step, _STEP_NEW, self._new_steps))
        self._prepare_moves(database)

    def _prepare_moves(self, database: Database) -> None:
        self._runs = runs = database.rows(
            id=Text(), from_state=Text(), from_request=BigInteger(), **types_of(run, _RUN_MOVED)
        )
        self._move_runs = database.prepared(
            update(run)
            .where(run.c.id == runs.c.id)
            .where(run.c.state == runs.c.from_state, run.c.request == runs.c.from_request)
            .values({name: runs.c[name] for name in _RUN_MOVED})
        )
        self._steps = steps = database.rows(
            run_id=Text(),
            key=Text(),
            from_state=Text(),
            from_attempts=BigInteger(),
            **types_of(step, _STEP_MOVED),
        )
        self._move_steps = database.prepared(
            update(step)
            .where(step.c.run_id == steps.c.run_id, step.c.key == steps.c.key)
            .where(step.c.state == steps.c.from_state, step.c.attempts == steps.c.from_attempts)
            .values({name: steps.c[name] for name in _STEP_MOVED})
        )

        self._items = items = database.rows(
            run_id=Text(), key=Text(), in_state=Text(), **types_of(step, ("items", "progress"))
        )
        self._write_items = database.prepared(
            update(step)
            .where(step.c.run_id == items.c.run_id, step.c.key == items.c.key)
            .where(step.c.state == items.c.in_state)
            .values(items=items.c["items"], progress=items.c.progress)
        )

    def create(self, line: Line, states: Sequence[RunState]) -> None:
        """Insert the runs and all their steps as they stand."""
        if not states:
            return
        runs = self._new_runs.params(_new_run(state.run) for state in states)
        line.send(self._insert_runs, runs)
        steps = self._new_steps.params(row for state in states for row in _new_steps(state))
        line.send(self._insert_steps, steps)

    def move_runs(self, line: Line, moves: Sequence[RunMoved]) -> None:
        """Move runs whose stored state and request number are those of `before`."""
        joined = _joined((move.after.id, move.before, move.after) for move in moves)
        if joined:
            params = self._runs.params(
                (id, str(before.status), before.request, *_run_fields(after))
                for id, (before, after) in joined.items()
            )
            line.send(self._move_runs, params, expecting(len(joined), "runs"))

    def move_steps(self, line: Line, moves: Sequence[tuple[str, StepMoved]]) -> None:
        """Move steps whose stored state and attempts are those of `before`."""
        joined = _joined(((id, move.after.key), move.before, move.after) for id, move in moves)
        if joined:
            params = self._steps.params(
                (id, key, str(before.status), before.attempts, *_step_fields(after))
                for (id, key), (before, after) in joined.items()
            )
            line.send(self._move_steps, params, expecting(len(joined), "steps"))

    def expand_steps(
        self,
        line: Line,
        expanded: Sequence[tuple[str, Step]],
        made: Sequence[tuple[Run, PlanStep, Step]],
    ) -> None:
        """Write items and progress of steps that are in their new state; insert new children."""
        if expanded:
            params = self._items.params(
                (id, after.key, str(after.status), after.items, after.progress)
                for id, after in expanded
            )
            line.send(self._write_items, params, expecting(len(expanded), "steps told of"))
        if made:
            steps = self._new_steps.params(_new_step(*each) for each in made)
            line.send(self._insert_steps, steps)


def _joined(moves: Iterable[tuple[K, T, T]]) -> dict[K, tuple[T, T]]:
    """Return one move a thing, from its first `before` to its last `after`."""
    joined: dict[K, tuple[T, T]] = {}
    for key, before, after in moves:
        joined[key] = (joined[key][0] if key in joined else before, after)
    return joined


def _new_run(made: Run) -> tuple[Any, ...]:
    return (
        made.id,
        made.team,
        made.pipeline,
        made.digest,
        made.params,
        made.actor,
        made.priority,
        made.logical_date,
        made.created_at,
        made.group,
        made.origin or None,
        made.origin.get("rerun_of"),
        *_run_fields(made),
    )


def _run_fields(after: Run) -> tuple[Any, ...]:
    return (
        str(after.status),
        after.started_at,
        after.finished_at,
        after.deadline_at,
        None if after.verdict is None else str(after.verdict),
        after.reason,
        after.request,
        None if after.paused is None else _paused(after.paused),
    )


def _paused(held: Paused) -> dict[str, Any]:
    return {"at": held.at.isoformat(), "by": held.by, "reason": held.reason}


def _new_steps(state: RunState) -> Iterator[tuple[Any, ...]]:
    for key, made in state.steps.items():
        yield _new_step(state.run, state.plan.of(key), made)


def _new_step(of: Run, planned: PlanStep, made: Step) -> tuple[Any, ...]:
    queue = step_queue(of.team, planned.resource_class)
    return (of.id, made.key, planned.index, queue, *_step_fields(made), made.items, made.progress)


def _step_fields(after: Step) -> tuple[Any, ...]:
    return (
        str(after.status),
        after.attempts,
        after.failures,
        after.losses,
        after.reason,
        after.due_at,
        after.ready_at,
        after.finished_at,
        after.outputs,
        after.artifacts,
        after.error,
    )
