"""What an expression may name at its place, and the types that are declared for it."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field

STEP_FIELDS = {"state": "string", "outputs": "outputs", "artifacts": "any"}
RUN_FIELDS = {
    "id": "string",
    "pipeline": "string",
    "team": "string",
    "logical_date": "datetime",
}


@dataclass(frozen=True, slots=True)
class Scope:
    """`outputs` has every step of the pipeline; `upstream` those that this place may name,
    which is never `step`, the one that it belongs to.

    `roots` are the names that mean something here: `event` and `item` only where there is one.
    """

    params: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    upstream: Container[str] = frozenset()
    roots: frozenset[str] = frozenset({"params", "steps", "run"})
    step: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake in an expression; `offset` counts characters from the source's start."""

    offset: int
    code: str
    message: str
    hint: str | None = None
