"""Canonical tests as people write them: durations with their units, states bare. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from headway.expressions.durations import format_duration


def written_tests(tests: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the tests of a canonical definition as they stand in YAML."""
    return [_test(test) for test in tests]


def _test(test: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(test)
    if "durations" in made:
        made["durations"] = {step: _timed(s) for step, s in made["durations"].items()}
    expect = made["expect"] = dict(test["expect"])
    if "makespan_at_most" in expect:
        expect["makespan_at_most"] = _timed(expect["makespan_at_most"])
    if "steps" in expect:
        expect["steps"] = {name: _step(step) for name, step in expect["steps"].items()}
    return made


def _step(step: Mapping[str, Any]) -> Any:
    return step["state"] if list(step) == ["state"] else dict(step)


def _timed(seconds: float) -> str:
    return format_duration(timedelta(seconds=seconds))
