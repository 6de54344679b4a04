"""A request that has another shape than expected, in words: which part of it, what, and the mend.

The library that checks requests has kinds of mistakes; each is told here in sentences of ours, so
that nobody reads a library's. What was sent is never repeated: it may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from headway.protocol.queues import TEAM_PATTERN

_LONGEST_PLACE = 100
_TIME = "such as 2026-01-31T06:00:00Z"
_NAMES = "lower-case letters, digits and dashes, from a letter on, 63 at the most"
# What the patterns of `shapes` and of the routes mean.
_PATTERNS = {
    rf"^{TEAM_PATTERN}$": _NAMES,
    r"^[A-Za-z0-9._:-]{1,128}$": "letters, digits and . _ : -, 128 at the most",
    r"^[A-Za-z0-9_.\[\]-]{1,128}$": "letters, digits and _ . [ ] -, 128 at the most",
    r"^[a-z0-9-]{1,40}$": "lower-case letters, digits and dashes, 40 at the most",
    r"^[\x21-\x7e]{1,200}$": "printable characters of ASCII without spaces, 200 at the most",
    r"^[\x21-\x7e]{1,500}$": "the `next` of the page before",
    r"^[^\x00-\x1f\x7f]*$": "one line, without control characters",
    r"^[^\x00]*$": "text without U+0000",
}
_CHOICES = re.compile(r"\^\(([a-z_|]+)\)\$")
_TYPES = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "an object",
    "model": "an object",
    "model_attributes": "an object",
    "datetime": f"a time, {_TIME}",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least {}"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "at most {}"),
    "less_than": ("lt", "less than {}"),
}
_LENGTHS = {
    "string_too_long": ("too_long", "max_length", "has more than {} characters"),
    "string_too_short": ("too_short", "min_length", "has fewer than {} characters"),
    "too_long": ("too_long", "max_length", "has more than {} entries"),
    "too_short": ("too_short", "min_length", "has fewer than {} entries"),
}
_ALTERNATIVES = ("int", "str", "float", "bool")  # how the library marks the parts of a union
_JSON = "send a JSON object, with Content-Type: application/json"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One part of the request and what is wrong with it; `wanted` is set for a wrong type."""

    place: str
    code: str
    said: str
    hint: str | None = None
    wanted: str | None = None

    @property
    def message(self) -> str:
        return f"{self.place} {self.said}"


def mistakes(errors: Iterable[Mapping[str, Any]], most: int) -> list[Mistake]:
    """Return the first `most` mistakes of a request, those of one part's alternatives as one."""
    found: list[Mistake] = []
    for error in islice(errors, 2 * most):
        each = _mistake(error)
        if found and each.wanted and found[-1].wanted and found[-1].place == each.place:
            wanted = f"{found[-1].wanted} or {each.wanted}"
            found[-1] = replace(each, said=f"must be {wanted}", wanted=wanted)
        else:
            found.append(each)
    return found[:most]


def _mistake(error: Mapping[str, Any]) -> Mistake:
    kind, where = str(error["type"]), list(error["loc"])
    given: Mapping[str, Any] = error.get("ctx") or {}
    if kind == "json_invalid":
        why = str(given.get("error", ""))[:100]
        return Mistake("the body", "not_json", f"is not JSON: {why}", _JSON)
    if len(where) > 2 and where[-1] in _ALTERNATIVES:
        del where[-1]
    place = _place(where)
    if where == ["body"]:
        return Mistake(place, "wrong_type", "must be a JSON object", _JSON)
    return _of_kind(kind, place, given)


def _of_kind(kind: str, place: str, given: Mapping[str, Any]) -> Mistake:
    if kind == "missing":
        return Mistake(place, "missing_key", "is missing", "add it")
    if kind == "extra_forbidden":
        hint = "leave it out; docs/api.md says what each request takes"
        return Mistake(place, "unknown_key", "is not known here", hint)
    if kind == "string_pattern_mismatch":
        return _unfit(place, str(given.get("pattern")))
    if kind == "literal_error":
        expected = str(given.get("expected", "")).replace("'", "").replace(" or ", ", ")
        return Mistake(place, "bad_value", "is none of the values that it can have",
                       f"one of: {expected}")  # fmt: skip
    if kind == "timezone_aware":
        return Mistake(place, "bad_value", "has no time zone", f"end it in Z: {_TIME}")
    if kind == "value_error":
        return Mistake(place, "bad_value", f"cannot be taken: {given.get('error')}")
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        said = f"must be {words.format(given.get(key))}"
        return Mistake(place, "out_of_range", said)
    if kind in _LENGTHS:
        code, key, words = _LENGTHS[kind]
        if code == "too_short" and given.get(key) == 1:
            return Mistake(place, code, "is empty")
        return Mistake(place, code, words.format(f"{given.get(key):,}"))
    return _wrong_type(kind, place)


def _wrong_type(kind: str, place: str) -> Mistake:
    if kind.startswith("datetime_from_") or kind == "datetime_parsing":
        return Mistake(place, "bad_value", "is no time", _TIME)
    if kind.startswith("int_parsing_size"):
        return Mistake(place, "out_of_range", "is too large a number")
    name = kind.removesuffix("_type").removesuffix("_parsing").removesuffix("_from_float")
    wanted = _TYPES.get(name)
    if wanted is None:
        return Mistake(place, "bad_value", "is not as it must be", "docs/api.md says how")
    return Mistake(place, "wrong_type", f"must be {wanted}", wanted=wanted)


def _unfit(place: str, pattern: str) -> Mistake:
    choices = _CHOICES.fullmatch(pattern)
    if choices is not None:
        said = "is none of the values that it can have"
        return Mistake(place, "bad_value", said, f"one of: {choices[1].replace('|', ', ')}")
    return Mistake(place, "bad_value", "has a form that it cannot have", _PATTERNS.get(pattern))


def _place(where: Sequence[Any]) -> str:
    """Return the part of the request: a key of the body as `a.0.b`, or what stands elsewhere."""
    part, *keys = (str(each) for each in where) if where else ("body",)
    name = f"`{'.'.join(keys)[:_LONGEST_PLACE]}`"
    if part == "header":
        return f"the header {name}"
    if not keys:
        return f"the {part}"
    return {"query": f"{name} in the query", "path": f"{name} in the address"}.get(part, name)
