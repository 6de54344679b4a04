"""Text with `${{ }}` in it: split, listed, resolved."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from headway.expressions.limits import ExpressionError

OPEN, CLOSE = "${{", "}}"


@dataclass(frozen=True, slots=True)
class Part:
    """An expression of a template; `offset` is where its source begins in the text."""

    source: str
    offset: int


@dataclass(frozen=True, slots=True)
class Template:
    """Text and expressions in turn."""

    parts: tuple[str | Part, ...]

    @property
    def whole(self) -> Part | None:
        """The one expression that is the whole value, whose type is kept; else None."""
        rest = [part for part in self.parts if isinstance(part, Part) or part.strip()]
        return rest[0] if len(rest) == 1 and isinstance(rest[0], Part) else None

    @property
    def expressions(self) -> tuple[Part, ...]:
        return tuple(part for part in self.parts if isinstance(part, Part))


def template(value: Any) -> Any:
    """Return a Template for text that holds `${{ }}`, and any other value as it is.

    Raises ExpressionError, with its offset, for a `${{` that is not closed.
    """
    if not isinstance(value, str) or OPEN not in value:
        return value
    parts: list[str | Part] = []
    cursor = 0
    while (start := value.find(OPEN, cursor)) >= 0:
        if start > cursor:
            parts.append(value[cursor:start])
        end = _end(value, start)
        inner = value[start + len(OPEN) : end]
        lead = len(inner) - len(inner.lstrip())
        parts.append(Part(inner.strip(), start + len(OPEN) + lead))
        cursor = end + len(CLOSE)
    if cursor < len(value):
        parts.append(value[cursor:])
    return Template(tuple(parts))


def _end(value: str, start: int) -> int:
    """Return where the closing braces are; braces in quotes and maps do not count."""
    quote, depth, index = "", 0, start + len(OPEN)
    while index < len(value):
        char = value[index]
        if quote:
            if char == "\\":
                index += 1
            elif char == quote:
                quote = ""
        elif char in "'\"":
            quote = char
        elif char == "{":
            depth += 1
        elif char == "}" and depth:
            depth -= 1
        elif value.startswith(CLOSE, index):
            return index
        index += 1
    raise ExpressionError("`${{` is never closed by `}}`", start)


def resolve(value: Any, evaluate: Callable[[str], Any]) -> Any:
    """Return the JSON value with each `${{ }}` replaced by what `evaluate` returns for its source.

    A text that is one whole expression takes the type of its value; elsewhere text stands bare
    and any other value as compact JSON. Keys of objects are left as they are. Raises
    ExpressionError as `evaluate` and `template` do.
    """
    match value:
        case dict():
            return {key: resolve(item, evaluate) for key, item in value.items()}
        case list():
            return [resolve(item, evaluate) for item in value]
    parsed = template(value)
    if not isinstance(parsed, Template):
        return value
    if (whole := parsed.whole) is not None:
        return evaluate(whole.source)
    return "".join(
        as_text(evaluate(part.source)) if isinstance(part, Part) else part for part in parsed.parts
    )


def as_text(value: Any) -> str:
    """Return a value as it stands amid text: text bare, any other value as compact JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def expressions_in(value: Any) -> list[tuple[str, tuple[str | int, ...]]]:
    """Return the source of each expression in a JSON value, with the path that leads there."""
    return list(_listed(value, ()))


def _listed(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    match value:
        case dict():
            for key, item in value.items():
                yield from _listed(item, (*path, key))
        case list():
            for index, item in enumerate(value):
                yield from _listed(item, (*path, index))
        case str():
            parsed = template(value)
            if isinstance(parsed, Template):
                yield from ((part.source, path) for part in parsed.expressions)
