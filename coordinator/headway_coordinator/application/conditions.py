"""What a trigger's expressions see, and their values; evaluated outside any transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from headway.expressions import ExpressionError, lookup, names, resolve, simple_path
from headway_coordinator.application.resolving import Evaluator

_KEYS = ("id", "source", "type", "subject", "data", "name")


class Conditions:
    """Evaluates a trigger's `if`, `dedupe` and `params`."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def holds(self, source: str, event: Mapping[str, Any], run: Mapping[str, Any]) -> bool:
        """Return the value of an `if`.

        Raises ExpressionError, also for a value that is not a boolean.
        """
        value = self._evaluate(source, event, run)
        if isinstance(value, bool):
            return value
        raise ExpressionError(f"it gave a {type(value).__name__}, not true or false")

    def resolved(self, value: Any, event: Mapping[str, Any], run: Mapping[str, Any]) -> Any:
        """Return the value with every `${{ }}` in it evaluated. Raises ExpressionError."""
        return resolve(value, lambda source: self._evaluate(source, event, run))

    def _evaluate(self, source: str, event: Mapping[str, Any], run: Mapping[str, Any]) -> Any:
        known = {}
        roots = names(source).roots
        if "event" in roots:
            known["event"] = dict(event)
        if "run" in roots:
            known["run"] = dict(run)
        path = simple_path(source)
        if path is not None:
            return lookup(path, known)
        return self._evaluator.evaluate(source, known)


def seen_event(event: Mapping[str, Any], batch: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Return the root `event` of expressions; `batch` are all events of a run that gathered."""
    seen: dict[str, Any] = {**(event.get("extensions") or {})}
    seen |= {key: event.get(key) for key in _KEYS}
    seen["time"] = _moment(event.get("time"))
    if batch:
        seen["batch"] = [seen_event(each) for each in batch]
    return seen


def seen_run(
    team: str, pipeline: str, logical_date: datetime, interval: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the root `run` of expressions, for a run that is only about to be."""
    interval = interval or {}
    return {
        "pipeline": pipeline,
        "team": team,
        "logical_date": logical_date,
        "data_interval_start": _moment(interval.get("data_interval_start")) or logical_date,
        "data_interval_end": _moment(interval.get("data_interval_end")) or logical_date,
    }


def _moment(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return value
    return moment if moment.tzinfo is not None else value
