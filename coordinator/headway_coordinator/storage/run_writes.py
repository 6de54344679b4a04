"""Writes of runs and their steps; only the advancing transaction makes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Connection, Insert, Table, Text, Update
from sqlalchemy import insert, update
from sqlalchemy.types import TypeEngine

from headway.protocol.queues import step_queue
from headway_coordinator.application.ports import PreconditionFailed
from headway_coordinator.engine.model import Run, RunMoved, RunState, Step, StepMoved
from headway_coordinator.storage.columns import Document, Moment
from headway_coordinator.storage.counting import expect
from headway_coordinator.storage.database import Database
from headway_coordinator.storage.rows import Rows
from headway_coordinator.storage.schema import run, step

_RUN_NEW = (
    "id", "team", "pipeline", "digest", "state", "params", "actor", "priority", "logical_date",
    "created_at", "started_at", "finished_at", "deadline_at", "verdict", "reason", "request",
)  # fmt: skip
_RUN_MOVED = (
    "state", "started_at", "finished_at", "deadline_at", "verdict", "reason", "request",
)  # fmt: skip
_STEP_MOVED = (
    "state", "attempts", "failures", "losses", "reason", "due_at", "ready_at", "finished_at",
    "outputs", "artifacts", "error",
)  # fmt: skip
_STEP_NEW = ("run_id", "key", "idx", "queue", *_STEP_MOVED)


class RunWrites:
    """One statement a batch: rows are given as one relation and counted after."""

    def __init__(self, database: Database) -> None:
        rows = database.rows
        self._new_runs = rows(**types_of(run, _RUN_NEW))
        self._new_steps = rows(**types_of(step, _STEP_NEW))
        self._insert_runs = insert_from(run, _RUN_NEW, self._new_runs)
        self._insert_steps = insert_from(step, _STEP_NEW, self._new_steps)
        self._run_moves = rows(
            id=Text(), from_state=Text(), from_request=BigInteger(), **types_of(run, _RUN_MOVED)
        )
        self._step_moves = rows(
            run_id=Text(),
            key=Text(),
            from_state=Text(),
            from_attempts=BigInteger(),
            **types_of(step, _STEP_MOVED),
        )
        self._move_runs = _move_runs(self._run_moves)
        self._move_steps = _move_steps(self._step_moves)

    def create(self, connection: Connection, states: Sequence[RunState]) -> None:
        """Insert the runs and all their steps as they stand."""
        if not states:
            return
        runs = [_run_values(state.run) for state in states]
        connection.execute(self._insert_runs, self._new_runs.params(runs))
        steps = self._new_steps.params(row for state in states for row in _new_steps(state))
        connection.execute(self._insert_steps, steps)

    def move_runs(self, connection: Connection, moves: Sequence[RunMoved]) -> None:
        """Move runs whose stored state and request number are those of the first `before`."""
        joined = _joined((m.after.id, m.before, m.after) for m in moves)
        if joined:
            params = self._run_moves.params(_run_move(b, a) for b, a in joined.values())
            count = connection.execute(self._move_runs, params).rowcount
            expect(count, len(joined), "runs")

    def move_steps(self, connection: Connection, moves: Sequence[tuple[str, StepMoved]]) -> None:
        """Move steps whose stored state and attempts are those of the first `before`."""
        joined = _joined(((id, m.after.key), m.before, m.after) for id, m in moves)
        if joined:
            params = self._step_moves.params(
                _step_move(id, b, a) for (id, _), (b, a) in joined.items()
            )
            count = connection.execute(self._move_steps, params).rowcount
            expect(count, len(joined), "steps")


def types_of(table: Table, names: Iterable[str]) -> dict[str, TypeEngine[Any]]:
    """Return the columns' types, whole numbers as wide as they get."""
    return {name: _given_type(table.c[name]) for name in names}


def insert_from(table: Table, names: Sequence[str], rows: Rows) -> Insert:
    """Return the statement that inserts all the given rows."""
    from sqlalchemy import select

    return insert(table).from_select(
        list(names), select(*(rows.c[name] for name in names)), include_defaults=False
    )


def _given_type(column: Column[Any]) -> TypeEngine[Any]:
    kind = column.type
    return kind if isinstance(kind, (Boolean, Document, Moment, Text)) else BigInteger()
