"""What an expression may name at its place, and the types that are declared for it."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

STEP_FIELDS = {"state": "string", "outputs": "outputs", "artifacts": "any"}
RUN_FIELDS = {
    "id": "string",
    "pipeline": "string",
    "team": "string",
    "logical_date": "datetime",
    "data_interval_start": "datetime",
    "data_interval_end": "datetime",
}
# Any other key is an extension that the event's sender has named.
EVENT_FIELDS = {
    "id": "string",
    "source": "string",
    "type": "string",
    "subject": "any",
    "time": "datetime",
    "data": "any",
    "name": "string",
}
_INTERVAL = ("data_interval_start", "data_interval_end")


@dataclass(frozen=True, slots=True)
class Scope:
    """`outputs` has every step of the pipeline; `upstream` those that this place may name,
    which is never `step`, the one that it belongs to.

    `roots` are the names that mean something here: `event` and `item` only where there is one.
    `lists` are the steps whose outputs are a list, one object for each item. `item` has the fields
    of this step's items, where they are known.
    `absent` says of other roots why not, for the hint.
    """

    params: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    upstream: Container[str] = frozenset()
    roots: frozenset[str] = frozenset({"params", "steps", "run"})
    step: str = ""
    lists: frozenset[str] = frozenset()
    item: frozenset[str] | None = None
    absent: Mapping[str, str] = field(default_factory=dict)


def with_interval(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a run with its data interval.

    That of a run which no schedule started begins and ends at its logical date.
    """
    logical_date = run.get("logical_date")
    interval = {key: run.get(key) or logical_date for key in _INTERVAL}
    return {**run, **interval}


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake in an expression; `offset` counts characters from the source's start."""

    offset: int
    code: str
    message: str
    hint: str | None = None
