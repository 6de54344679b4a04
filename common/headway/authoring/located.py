"""A definition as a tree in which every value knows its place in the author's source.

Author's values become JSON here: dates, durations, enums, models, handles and expressions.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any

from headway.authoring.annotations import is_model
from headway.authoring.building import Handle
from headway.authoring.mistakes import AuthoringError
from headway.authoring.places import Place, Sources, inside
from headway.authoring.sites import Given
from headway.authoring.values import Expression, duration_text

MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Located:
    """`value` is a scalar, a list of Located, or names to (place of the name, Located).

    `raw` is the source text of a literal, in which places inside the value are found.
    """

    place: Place
    value: Any
    raw: str = ""


def located(given: Given, sources: Sources) -> Located:
    """Return the tree of a definition. Raises AuthoringError for what is no JSON."""
    return _Tree(sources).of(given, None, Place("", 1, 1), 0)


class _Tree:
    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def of(
        self, value: Any, node: ast.AST | None, place: Place, depth: int, key: str = ""
    ) -> Located:
        """`node` is the source of the value, where it is known; `key` the one it stands under."""
        while isinstance(value, Given):
            place, node = self._sources.find(value)
            value = value.value
        if isinstance(value, Mapping | list | tuple) and depth >= MAX_DEPTH:
            raise _refused(
                place, "too_deep", f"nested deeper than {MAX_DEPTH} levels", "keep data out"
            )
        if isinstance(value, Mapping):
            return self._mapping(value, node, place, depth, key)
        if isinstance(value, list | tuple):
            items = [
                self.of(item, *self._inner(node, index, place), depth + 1)
                for index, item in enumerate(value)
            ]
            return Located(place, items)
        if is_model(type(value)):
            return self.of(value.model_dump(mode="json"), None, place, depth)
        if is_dataclass(value) and not isinstance(value, type):
            return self.of(asdict(value), None, place, depth)
        raw = self._sources.raw(place, node) if isinstance(value, str) else ""
        return Located(place, _scalar(value, key, place), raw)

    def _mapping(
        self, value: Mapping[Any, Any], node: ast.AST | None, place: Place, depth: int, key: str
    ) -> Located:
        entries = {}
        for name, item in value.items():
            if isinstance(name, Enum):
                name = name.value
            if not isinstance(name, str):
                message = f"a key must be text, and {name!r} is not"
                raise _refused(place, "bad_key", message, "write it as text")
            inner, where = self._inner(node, name, place)
            child = self.of(item, inner, where, depth + 1, "inputs" if key == "inputs" else name)
            entries[name] = (self._key_place(item, node, name, child.place), child)
        return Located(place, entries)

    def _key_place(self, item: Any, node: ast.AST | None, name: str, default: Place) -> Place:
        if isinstance(item, Given):
            return self._sources.name_of(item) or default
        found = inside(node, name, key_itself=True)
        return self._sources.place(default.file, found) if found is not None else default

    def _inner(
        self, node: ast.AST | None, key: str | int, place: Place
    ) -> tuple[ast.AST | None, Place]:
        found = inside(node, key)
        return found, self._sources.place(place.file, found) if found is not None else place


def _scalar(value: Any, key: str, place: Place) -> Any:
    match value:
        case Expression():
            return value.source if key == "if" else str(value)
        case Handle():
            return str(value.artifacts if key == "inputs" else value)
        case Enum():
            return _scalar(value.value, key, place)
        case str():
            return str(value)
        case None | bool():
            return value
        case int():
            return int(value)
        case float() if math.isfinite(value):
            return float(value)
        case datetime() if value.tzinfo is not None:
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date() if not isinstance(value, datetime):
            return value.isoformat()
        case timedelta():
            return _duration(value, place)
    raise _unwritable(value, place)


def _duration(value: timedelta, place: Place) -> str:
    try:
        return duration_text(value)
    except ValueError as error:
        raise _refused(place, "bad_duration", str(error), "such as timedelta(minutes=5)") from None


def _unwritable(value: Any, place: Place) -> AuthoringError:
    message = f"a {type(value).__name__} cannot be written in a definition"
    hint = "give text, a number, a boolean, a date, a list or a mapping"
    if isinstance(value, datetime):
        message, hint = "the time has no zone", "such as datetime(2026, 1, 31, tzinfo=UTC)"
    return _refused(place, "bad_value", message, hint)


def _refused(place: Place, code: str, message: str, hint: str) -> AuthoringError:
    error = AuthoringError(code, message, hint)
    error.place = place
    return error
