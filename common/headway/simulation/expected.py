"""What a test expected, beside what came of its run. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from headway.expressions.durations import format_duration
from headway.simulation.parts import LOGICAL_DATE, Assumed, Simulated, SimulatedStep


def assumed_in(test: Mapping[str, Any]) -> Assumed:
    """Return what a test of a canonical definition takes for granted."""
    date = test.get("logical_date")
    seconds: Mapping[str, float] = test.get("durations") or {}
    return Assumed(
        logical_date=LOGICAL_DATE if date is None else datetime.fromisoformat(date),
        params=test.get("params") or {},
        outcomes=test.get("outcomes") or {},
        outputs=test.get("outputs") or {},
        durations={step: timedelta(seconds=each) for step, each in seconds.items()},
        slots=test.get("slots") or {},
    )


def differences(expect: Mapping[str, Any], simulated: Simulated) -> list[str]:
    """Return a sentence for each expectation that was not met; empty when all were."""
    return [
        *_of_run(expect, simulated),
        *_of_steps(expect, simulated),
        *_of_order(expect, simulated),
    ]


def _of_run(expect: Mapping[str, Any], simulated: Simulated) -> Iterator[str]:
    wanted = expect.get("state")
    if wanted is not None and wanted != simulated.state:
        why = f" ({simulated.reason})" if simulated.reason else ""
        yield f"the run is {simulated.state}{why}, not {wanted}"
    most = expect.get("makespan_at_most")
    if most is not None and simulated.makespan_s > most:
        took, limit = (format_duration(timedelta(seconds=s)) for s in (simulated.makespan_s, most))
        yield f"the run took {took}, more than {limit}"


def _of_steps(expect: Mapping[str, Any], simulated: Simulated) -> Iterator[str]:
    steps = {step.name: step for step in simulated.steps}
    for name, wanted in (expect.get("steps") or {}).items():
        found = steps[name].as_dict()
        for key, value in wanted.items():
            if not _same(value, found[key]):
                is_now = f"{_shown(found[key])}{_why(key, steps[name])}"
                yield f"{name}: {key} is {is_now}, not {_shown(value)}"


def _same(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, float):
        wanted = round(wanted, 3)  # times are told to the millisecond
    return bool(wanted == found)


def _shown(value: Any) -> str:
    return "nothing" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _why(key: str, step: SimulatedStep) -> str:
    said = step.error or step.reason
    return f" ({said})" if key == "state" and said else ""


def _of_order(expect: Mapping[str, Any], simulated: Simulated) -> Iterator[str]:
    order: Sequence[str] = expect.get("order") or ()
    started = {s.name: place for place, s in enumerate(simulated.steps) if s.started_s is not None}
    for name in order:
        if name not in started:
            yield f"order: {name} did not start"
    both = [name for name in order if name in started]
    for before, after in pairwise(both):
        if started[before] > started[after]:
            yield f"order: {after} started before {before}"
