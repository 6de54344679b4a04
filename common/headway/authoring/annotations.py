"""Python types as the types of params and outputs.

    str → string · int → int · float → float · bool → bool · date → date · datetime → datetime
    timedelta → duration · list[…] → list · dict[…], TypedDict, dataclass, pydantic model → object
    Enum, Literal → the type of its values, with an `enum` · T | None → T, not required

What is inside a list or an object is not checked by Headway: a definition has no type for it. A
step's function that takes a pydantic model gets it validated, when it is called.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin, is_typeddict

TYPES = ("string", "int", "float", "bool", "date", "datetime", "duration", "list", "object")
# `bool` is an int and `datetime` a date, so they stand first.
_SIMPLE: tuple[tuple[type, str], ...] = (
    (str, "string"),
    (bool, "bool"),
    (int, "int"),
    (float, "float"),
    (datetime, "datetime"),
    (date, "date"),
    (timedelta, "duration"),
    (list, "list"),
    (dict, "object"),
)
_CONTAINERS = {list: "list", Sequence: "list", dict: "object", Mapping: "object"}


class Unmappable(Exception):
    """An annotation that no type of a definition stands for: a sentence and the mend."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Declared:
    """What an annotation says about a param or an output."""

    type: str
    enum: tuple[Any, ...] | None = None
    optional: bool = False
    description: str | None = None


def declared(annotation: Any) -> Declared:
    """Return what an annotation declares. Raises Unmappable."""
    if isinstance(annotation, str) and annotation in TYPES:
        return Declared(annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *notes = get_args(annotation)
        found = declared(inner)
        return Declared(found.type, found.enum, found.optional, _description(notes))
    if origin in (Union, types.UnionType):
        return _of_union(annotation)
    if origin is Literal:
        return _of_values(annotation, get_args(annotation))
    if origin in _CONTAINERS or annotation in _CONTAINERS:
        return Declared(_CONTAINERS[origin or annotation])
    if isinstance(annotation, type):
        return _of_class(annotation)
    raise _no_type(annotation)


def type_of_value(value: Any) -> Declared:
    """Return what a default says where there is no annotation. Raises Unmappable."""
    return _of_class(type(value))


def outputs_of(annotation: Any) -> dict[str, str]:
    """Return the outputs that the result's annotation declares by name: none for a plain `dict`.

    A TypedDict, a dataclass and a pydantic model declare their fields. Raises Unmappable.
    """
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return {name: declared(hint).type for name, hint in _fields(annotation).items()}


def _fields(annotation: Any) -> dict[str, Any]:
    from typing import get_type_hints

    if is_typeddict(annotation) or (isinstance(annotation, type) and is_dataclass(annotation)):
        return get_type_hints(annotation, include_extras=True)
    if is_model(annotation):
        return {name: field.annotation for name, field in annotation.model_fields.items()}
    return {}


def is_model(annotation: Any) -> bool:
    """Say whether it is a pydantic model, without importing pydantic."""
    return isinstance(annotation, type) and hasattr(annotation, "model_validate")


def _of_union(annotation: Any) -> Declared:
    members = [each for each in get_args(annotation) if each is not type(None)]
    if len(members) != 1:
        hint = "choose one type; `object` or text can hold either"
        raise Unmappable(f"`{shown(annotation)}` is one type or another", hint)
    inner = declared(members[0])
    return Declared(inner.type, inner.enum, True, inner.description)


def _of_class(annotation: type) -> Declared:
    if issubclass(annotation, Enum):
        return _of_values(annotation, tuple(member.value for member in annotation))
    for known, name in _SIMPLE:
        if issubclass(annotation, known):
            return Declared(name)
    if is_typeddict(annotation) or is_dataclass(annotation) or is_model(annotation):
        return Declared("object")
    raise _no_type(annotation)


def _of_values(annotation: Any, values: tuple[Any, ...]) -> Declared:
    values = tuple(each.value if isinstance(each, Enum) else each for each in values)
    optional = None in values
    values = tuple(each for each in values if each is not None)
    kinds = {type_of_value(each).type for each in values}
    if len(kinds) != 1:
        message = f"the values of `{shown(annotation)}` are of different types"
        raise Unmappable(message, "give them one type, such as text")
    return Declared(kinds.pop(), values, optional)


def _description(notes: list[Any]) -> str | None:
    for note in notes:
        said = note if isinstance(note, str) else getattr(note, "description", None)
        said = said or getattr(note, "documentation", None)
        if isinstance(said, str):
            return said
    return None


def _no_type(annotation: Any) -> Unmappable:
    hint = "use " + ", ".join(each.__name__ for each, _ in _SIMPLE)
    hint += ", an Enum, a Literal, Optional, a TypedDict, a dataclass or a pydantic model"
    return Unmappable(f"`{shown(annotation)}` has no type in a definition", hint)


def shown(annotation: Any) -> str:
    """Return an annotation as its author may have written it."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "")
