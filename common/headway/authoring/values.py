"""Values that a run will have: named while the pipeline is built, known when a step starts.

`handle["rows"] > 0` gives another expression, not a boolean; as an argument or in text it becomes
`${{ … }}`, in `.when(…)` and `if_` the bare expression (CEL).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any, NoReturn

from headway.authoring.mistakes import AuthoringError

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
# Words of CEL, which cannot follow a dot; the expressions' own table would bring its parser along.
WORDS = frozenset(
    {
        *("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import"),
        *("in", "let", "loop", "namespace", "null", "package", "return", "true", "var", "void"),
        "while",
    }
)


class Expression:
    """A value of a run, as an expression; made by handles, params and operators on them."""

    __slots__ = ("_is_atom", "_source")

    def __init__(self, source: str, *, is_atom: bool = False) -> None:
        self._source = source
        self._is_atom = is_atom

    @property
    def source(self) -> str:
        """The expression as text, without `${{ }}`."""
        return self._source

    def __str__(self) -> str:
        return "${{ " + self._source + " }}"

    def __format__(self, spec: str) -> str:
        if spec:
            message = f"`{self._source}` is not known yet, so it cannot be formatted as `{spec}`"
            raise AuthoringError("not_known_yet", message, "format it inside a step")
        return str(self)

    def __repr__(self) -> str:
        return f"Expression({self._source!r})"

    def __getitem__(self, key: str | int) -> Expression:
        base = self._atom()
        if isinstance(key, str) and _NAME.fullmatch(key) and key not in WORDS:
            return Expression(f"{base}.{key}", is_atom=True)
        return Expression(f"{base}[{literal(key)}]", is_atom=True)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        hint = f'write ["{name}"] for a part of it, or compute it inside a step'
        raise self._unknown(f"so it has no `.{name}`", hint)

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        return self._with("==", other)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return self._with("!=", other)

    def __lt__(self, other: object) -> Expression:
        return self._with("<", other)

    def __le__(self, other: object) -> Expression:
        return self._with("<=", other)

    def __gt__(self, other: object) -> Expression:
        return self._with(">", other)

    def __ge__(self, other: object) -> Expression:
        return self._with(">=", other)

    def __and__(self, other: object) -> Expression:
        return self._with("&&", other)

    def __rand__(self, other: object) -> Expression:
        return self._behind("&&", other)

    def __or__(self, other: object) -> Expression:
        return self._with("||", other)

    def __ror__(self, other: object) -> Expression:
        return self._behind("||", other)

    def __invert__(self) -> Expression:
        return Expression(f"!{self._atom()}", is_atom=True)

    def __add__(self, other: object) -> Expression:
        return self._with("+", other)

    def __radd__(self, other: object) -> Expression:
        return self._behind("+", other)

    def __sub__(self, other: object) -> Expression:
        return self._with("-", other)

    def __rsub__(self, other: object) -> Expression:
        return self._behind("-", other)

    def __mul__(self, other: object) -> Expression:
        return self._with("*", other)

    def __rmul__(self, other: object) -> Expression:
        return self._behind("*", other)

    def __truediv__(self, other: object) -> Expression:
        return self._with("/", other)

    def __mod__(self, other: object) -> Expression:
        return self._with("%", other)

    def is_in(self, options: list[Any] | tuple[Any, ...] | Expression) -> Expression:
        """Return whether it is one of the options: `region.is_in(["eu", "us"])`."""
        return self._with("in", list(options) if isinstance(options, tuple) else options)

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> NoReturn:
        hint = "give it to `.when(…)` or `if_=`; combine with `&`, `|` and `~`, not and, or, not"
        raise self._unknown("so it is neither true nor false yet", hint)

    def __iter__(self) -> NoReturn:
        hint = "let a step run for each item: load.map(…)"
        raise self._unknown("so it has no items yet", hint)

    def __contains__(self, item: object) -> NoReturn:
        raise self._unknown("so it holds nothing yet", 'write expression("… in …")')

    def __len__(self) -> NoReturn:
        raise self._unknown("so it has no length yet", 'write expression("size(…)")')

    def _number(self) -> NoReturn:
        raise self._unknown("so it is no number yet", "compute with it inside a step")

    __int__ = __float__ = __index__ = _number

    def _unknown(self, consequence: str, hint: str) -> AuthoringError:
        message = f"`{self._source}` is not known while the pipeline is built, {consequence}"
        return AuthoringError("not_known_yet", message, hint)

    def _atom(self) -> str:
        return self._source if self._is_atom else f"({self._source})"

    def _with(self, sign: str, other: object) -> Expression:
        return Expression(f"{self._atom()} {sign} {literal(other)}")

    def _behind(self, sign: str, other: object) -> Expression:
        return Expression(f"{literal(other)} {sign} {self._atom()}")


# In a step that runs for each item: the item, and its number from 0.
item = Expression("item", is_atom=True)
index = Expression("index", is_atom=True)


def expression(source: str) -> Expression:
    """Return a CEL expression that is written as text: `expression("size(steps.a.outputs.x)")`."""
    return Expression(source)


def has(value: Expression) -> Expression:
    """Return whether an output is there: a step that did not succeed has none."""
    return Expression(f"has({value.source})", is_atom=True)


def literal(value: object) -> str:
    """Return a Python value as CEL. Raises AuthoringError for what CEL has no literal for."""
    match value:
        case Expression():
            return value._atom()
        case Enum():
            return literal(value.value)
        case bool():
            return "true" if value else "false"
        case None:
            return "null"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case int() | float():
            return repr(value)
        case datetime() if value.tzinfo is not None:
            moment = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
            return f'timestamp("{moment}")'
        case date() if not isinstance(value, datetime):
            return f'"{value.isoformat()}"'
        case list() | tuple():
            return "[" + ", ".join(literal(item) for item in value) + "]"
        case Mapping():
            pairs = (f"{literal(key)}: {literal(item)}" for key, item in value.items())
            return "{" + ", ".join(pairs) + "}"
    message = f"a {type(value).__name__} cannot stand in an expression"
    raise AuthoringError("bad_expression", message, "use text, numbers, booleans, dates or lists")


def duration_text(value: timedelta) -> str:
    """Return a duration as definitions write it, such as `1h30m`. Raises ValueError."""
    milliseconds, rest = divmod(value, timedelta(milliseconds=1))
    if rest or milliseconds < 0:
        raise ValueError("a duration is not negative and has whole milliseconds")
    text = ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"
