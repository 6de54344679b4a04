"""Triggers: an ended attempt never changes its state, and a fence never falls.

The application's conditional writes see to both already; the triggers hold against everything
else that can reach the database, a mistaken UPDATE by hand included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import DDL
from sqlalchemy.schema import ExecutableDDLElement

_BROKEN: Final = (
    "(OLD.state NOT IN ('dispatched', 'running') AND NEW.state <> OLD.state)"
    " OR NEW.fence < OLD.fence"
)

_STATEMENTS: Final = {
    "postgresql": (
        """
        CREATE OR REPLACE FUNCTION headway_refuse_attempt() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          RAISE EXCEPTION 'attempt % may not go from % to %', OLD.id, OLD.state, NEW.state
            USING ERRCODE = 'integrity_constraint_violation';
        END $$
        """,
        f"""
        CREATE TRIGGER attempt_guard BEFORE UPDATE ON attempt FOR EACH ROW
        WHEN ({_BROKEN}) EXECUTE FUNCTION headway_refuse_attempt()
        """,
    ),
    "sqlite": (
        f"""
        CREATE TRIGGER attempt_guard BEFORE UPDATE ON attempt FOR EACH ROW WHEN {_BROKEN}
        BEGIN SELECT RAISE(ABORT, 'the attempt may not change so'); END
        """,
    ),
}


def statements(dialect: str) -> tuple[str, ...]:
    """Return the SQL that makes the triggers on this dialect."""
    return _STATEMENTS[dialect]


def ddl(dialect: str) -> list[ExecutableDDLElement]:
    """Return the same as elements that run on this dialect alone."""
    made: Callable[[str], ExecutableDDLElement] = DDL
    return [
        made(statement.replace("%", "%%")).execute_if(dialect=dialect)
        for statement in _STATEMENTS[dialect]
    ]
