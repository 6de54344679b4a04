"""References to secrets, `secret://name`, in the texts of a definition.

A reference is what stands literally in the definition: it is found in the text around expressions,
never in what an expression gave. So no parameter, event or output can make a step read a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from headway.expressions import ExpressionError, Template, as_text, template

PREFIX = "secret://"
NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
NAME_RULE = "lower-case letters, digits, `-` and `_`, a letter first, at most 63"
SHORTEST, LONGEST_BYTES = 4, 32 * 1024  # of a value: characters, bytes
# The keys of a step whose texts may hold references.
PLACES = ("env", "with", "http", "sql")
_REFERENCE = re.compile(re.escape(PREFIX) + r"([A-Za-z0-9_-]*)")
_WHERE = re.compile(r"https?://[^/?#]*")
Path = tuple[str | int, ...]


class Reference(NamedTuple):
    """A reference in a text, and where it begins and ends."""

    name: str
    start: int
    end: int


class SecretFault(NamedTuple):
    """What is wrong with a reference, where, and the mend."""

    offset: int
    message: str
    hint: str


class Use(NamedTuple):
    """Where resolved work holds a reference: the path to a text, and where it begins there."""

    name: str
    at: Path
    start: int


def references(text: str) -> list[Reference]:
    """Return every reference in a text without expressions, in order."""
    return [Reference(m[1], m.start(), m.end()) for m in _REFERENCE.finditer(text)]


def fault_in(text: str, *, is_url: bool = False) -> SecretFault | None:
    """Return what is wrong with the first broken reference of a text that may hold expressions."""
    for offset, part, is_last in _literals(text):
        for name, start, end in references(part):
            place = offset + start
            if not NAME.fullmatch(name):
                return _bad_name(name, place, at_end=end == len(part) and not is_last)
            if end == len(part) and not is_last:
                hint = f"put something between them, or the name in full: {PREFIX}name"
                message = f"an expression stands right after `{PREFIX}{name}`"
                return SecretFault(place, message, hint)
            if place == 0 and part[end : end + 1] == "/":
                hint = f"names are flat: {NAME_RULE}"
                return SecretFault(place, f"a secret's name has no `/` (`{part[:80]}`)", hint)
            where = _WHERE.match(text)
            if is_url and place and where is not None and place < where.end():
                hint = "keep the whole address as one secret: url: secret://name"
                return SecretFault(place, "a secret cannot be the host of an address", hint)
    return None


def _bad_name(name: str, place: int, *, at_end: bool) -> SecretFault:
    if not name:
        what = "an expression cannot be a secret's name" if at_end else "the secret has no name"
        hint = f"write the name out, such as {PREFIX}warehouse: who reads what must be visible"
        return SecretFault(place, what, hint)
    lower = name.lower()
    hint = f"did you mean `{PREFIX}{lower}`?" if NAME.fullmatch(lower) else NAME_RULE
    return SecretFault(place, f"`{name[:80]}` is no name of a secret", hint)


def _literals(text: str) -> Iterator[tuple[int, str, bool]]:
    """Yield what is no expression: where it begins, the text, and whether it is the last part.

    Yields nothing for a text whose expressions are broken: that is told elsewhere.
    """
    try:
        parsed = template(text)
    except ExpressionError:
        return
    if not isinstance(parsed, Template):
        yield 0, text, True
        return
    offset = 0
    for index, part in enumerate(parsed.parts):
        if isinstance(part, str):
            offset = text.index(part, offset)
            yield offset, part, index == len(parsed.parts) - 1
            offset += len(part)
        else:
            offset = part.offset + len(part.source)


def named_in(body: Mapping[str, Any]) -> set[str]:
    """Return the names of all secrets that a step's body refers to."""
    return {
        reference.name
        for _, text in texts_with_secrets(body)
        for _, part, _ in _literals(text)
        for reference in references(part)
    }


def texts_with_secrets(body: Mapping[str, Any]) -> list[tuple[Path, str]]:
    """Return the texts of a step's body that refer to secrets, each with the path to it."""
    found = []
    for place in PLACES:
        for path, text in _texts(body.get(place), (place,)):
            if PREFIX in text and any(references(part) for _, part, _ in _literals(text)):
                found.append((path, text))
    return found


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    match value:
        case str():
            yield path, value
        case dict():
            for key, item in value.items():
                yield from _texts(item, (*path, key))
        case list():
            for index, item in enumerate(value):
                yield from _texts(item, (*path, index))


def rendered(text: str, path: Path, evaluate: Callable[[str], Any]) -> tuple[str, list[Use]]:
    """Return the text with its expressions resolved, and where its own references now stand.

    Raises ExpressionError as `evaluate` does.
    """
    parsed = template(text)
    shown, uses = "", []
    for part in parsed.parts if isinstance(parsed, Template) else (text,):
        if isinstance(part, str):
            uses += [Use(r.name, path, len(shown) + r.start) for r in references(part)]
            shown += part
        else:
            shown += as_text(evaluate(part.source))
    return shown, uses
