"""The part of the JSON Schema about `tests`."""

from __future__ import annotations

from typing import Any

from headway.simulation.parts import OUTCOMES, REASONS, RUN_STATES, STEP_STATES
from headway.spec.expectations import MAX_SLOTS
from headway.spec.schema_parts import DURATION, TEXT, record

_STEP = r"[a-z_][a-z0-9_]*"
_TIME = {"anyOf": [DURATION, {"type": "number", "minimum": 0}]}


def test() -> dict[str, Any]:
    """Return the schema of one entry of `tests`."""
    keys = {
        "name": TEXT,
        "params": {"type": "object"},
        "outcomes": _by_step({"enum": list(OUTCOMES)}, rf"^{_STEP}(#[0-9]+)?$"),
        "outputs": _by_step({"type": "object"}),
        "durations": _by_step(DURATION),
        "slots": {
            "type": "object",
            "additionalProperties": {"type": "integer", "minimum": 0, "maximum": MAX_SLOTS},
        },
        "logical_date": TEXT,
        "expect": _expect(),
    }
    return record("test", keys, ("name", "expect"))


def _expect() -> dict[str, Any]:
    keys = {
        "state": {"enum": list(RUN_STATES)},
        "steps": _by_step({"anyOf": [{"enum": list(STEP_STATES)}, _step()]}),
        "makespan_at_most": DURATION,
        "order": {"type": "array", "items": {"type": "string"}},
    }
    return {**record("expect", keys), "minProperties": 1}


def _step() -> dict[str, Any]:
    keys = {
        "state": {"enum": list(STEP_STATES)},
        "reason": {"enum": list(REASONS)},
        "attempts": {"type": "integer", "minimum": 0, "maximum": 2000},
        "started_s": _TIME,
        "finished_s": _TIME,
    }
    return record("expected_step", keys)


def _by_step(value: dict[str, Any], pattern: str = f"^{_STEP}$") -> dict[str, Any]:
    names = {"propertyNames": {"pattern": pattern}}
    return {"type": "object", **names, "additionalProperties": value}
