"""Readers of single values: each takes a node, and returns its canonical JSON or notes a problem.

A reader that fails returns None; what it noted makes the whole definition invalid, so nobody reads
that None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

from headway.expressions.durations import parse_duration
from headway.spec import mends
from headway.spec.document import Mapping, Node, Scalar, Sequence, plain
from headway.spec.report import Report, did_you_mean

Reader = Callable[[Node, Report], Any]


@dataclass(frozen=True, slots=True)
class Key:
    """What one key of a mapping may hold; `default` stands in when the key is missing."""

    read: Reader
    required: bool = False
    default: Callable[[], Any] = lambda: None


def record(
    node: Node,
    report: Report,
    keys: dict[str, Key],
    *,
    what: str,
    later: Collection[str] = (),
) -> dict[str, Any]:
    """Return the values of a mapping of known keys, defaults filled in; {} for what is no mapping.

    `later` are keys that the design has and this version has not.
    """
    entries = mapping(node, report, what)
    if entries is None:
        return {}
    for name, (key, _) in entries.items():
        if name in later:
            message = f"`{name}` is not available in this version"
            report.on(key, "not_supported", message, mends.not_yet(name))
        elif name not in keys:
            meant = partial(mends.unknown_key, name, keys, later)
            report.on(key, "unknown_key", f"{what} has no key `{shown(name)}`", meant)
    values: dict[str, Any] = {}
    for name, rule in keys.items():
        if name in entries:
            values[name] = rule.read(entries[name][1], report)
        else:
            values[name] = rule.default()
            if rule.required:
                report.on(node, "missing_key", f"{what} needs `{name}`", f"add {name}: …")
    return values


def mapping(node: Node, report: Report, what: str) -> dict[str, tuple[Scalar, Node]] | None:
    """Return the entries of a mapping, or None after noting that it is something else."""
    if isinstance(node, Mapping):
        return node.entries
    hint = "write each under its name: {name: …}" if isinstance(node, Sequence) else "{key: value}"
    wrong_type(node, report, f"{what} must be a mapping of keys to values", hint)
    return None


def wrong_type(node: Node, report: Report, sentence: str, hint: str | None = None) -> None:
    """Note that a node has another type than the sentence demands."""
    report.on(node, "wrong_type", f"{sentence}, not {kind_of(node)}", hint)


def kind_of(node: Node) -> str:
    """Return what a node is, in words."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    if node.value is None:
        return "nothing"
    words = {str: "the text", bool: "the boolean", int: "the number", float: "the number"}
    return f"{words[type(node.value)]} `{shown(node.text)}`"


def shown(text: str) -> str:
    """Return a text short enough for a message, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:57] + "…"


def text(what: str, *, empty: bool = False) -> Reader:
    """Return a reader of text."""

    def read(node: Node, report: Report) -> str | None:
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            quote = "put it in quotes" if isinstance(node, Scalar) and node.text else "give it text"
            wrong_type(node, report, f"{what} must be text", quote)
            return None
        if not node.value.strip() and not empty:
            report.on(node, "bad_value", f"{what} is empty", "give it text, or leave the key out")
            return None
        return node.value

    return read


def name(what: str, pattern: re.Pattern[str]) -> Reader:
    """Return a reader of a name of the given pattern."""
    plain_text = text(what)

    def read(node: Node, report: Report) -> str | None:
        value: str | None = plain_text(node, report)
        if value is not None and not pattern.fullmatch(value):
            message = f"{what} `{shown(value)}` does not match {pattern.pattern}"
            report.on(node, "bad_name", message, mends.name(value, pattern))
            return None
        return value

    return read


def choice(what: str, options: Collection[str]) -> Reader:
    """Return a reader of one word of several."""
    plain_text = text(what)

    def read(node: Node, report: Report) -> str | None:
        value: str | None = plain_text(node, report)
        if value is not None and value not in options:
            hint = did_you_mean(value, options) or "one of: " + ", ".join(options)
            report.on(node, "bad_value", f"{what} cannot be `{shown(value)}`", hint)
            return None
        return value

    return read


def integer(what: str, low: int, high: int) -> Reader:
    """Return a reader of a whole number from low to high."""

    def read(node: Node, report: Report) -> int | None:
        if not isinstance(node, Scalar) or type(node.value) is not int:
            wrong_type(node, report, f"{what} must be a whole number", "write it bare, such as 3")
            return None
        if not low <= node.value <= high:
            nearest = low if node.value < low else high
            message = f"{what} must lie between {low} and {high}"
            report.on(node, "bad_value", message, f"the nearest is {nearest}")
            return None
        return node.value

    return read


def boolean(what: str) -> Reader:
    """Return a reader of true or false."""

    def read(node: Node, report: Report) -> bool | None:
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return node.value
        hint = mends.boolean(node.text if isinstance(node, Scalar) else "")
        wrong_type(node, report, f"{what} must be true or false", hint)
        return None

    return read


def seconds(what: str, *, zero: bool = False) -> Reader:
    """Return a reader of a duration, as seconds."""

    def read(node: Node, report: Report) -> float | None:
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            hint = mends.duration(node.text) if isinstance(node, Scalar) else None
            example = f"{what} must be a duration such as 90s or 5m"
            wrong_type(node, report, example, hint or "such as 90s")
            return None
        try:
            duration = parse_duration(node.value).total_seconds()
        except ValueError as error:
            hint = mends.duration(node.value) or "such as 90s, 5m or 1h30m"
            report.on(node, "bad_duration", f"{what}: {error}", hint)
            return None
        if not duration and not zero:
            message = f"{what} must be longer than nothing"
            report.on(node, "bad_duration", message, "such as 1s, or leave it out")
        return duration

    return read


def sequence_of(what: str, read_item: Reader) -> Reader:
    """Return a reader of a list whose items one reader reads."""

    def read(node: Node, report: Report) -> list[Any] | None:
        if not isinstance(node, Sequence):
            short = isinstance(node, Scalar) and node.text.strip()
            hint = f"write [{shown(short)}]" if short else "write it in [ ]"
            wrong_type(node, report, f"{what} must be a list", hint)
            return None
        return [read_item(item, report) for item in node.items]

    return read


def mapping_of(what: str, read_value: Reader, read_key: Reader | None = None) -> Reader:
    """Return a reader of a mapping with free keys."""

    def read(node: Node, report: Report) -> dict[str, Any] | None:
        entries = mapping(node, report, what)
        if entries is None:
            return None
        values = {}
        for key, (key_node, value) in entries.items():
            if read_key is not None:
                read_key(key_node, report)
            values[key] = read_value(value, report)
        return values

    return read


def environment(what: str) -> Reader:
    """Return a reader of a value of an environment variable: text, or a scalar as its text."""

    def read(node: Node, report: Report) -> str | None:
        if not isinstance(node, Scalar) or node.value is None:
            wrong_type(node, report, f"{what} must be text", "for empty text write ''")
            return None
        if isinstance(node.value, bool):
            return "true" if node.value else "false"
        return node.text

    return read


def anything(node: Node, report: Report) -> Any:
    """Return the node as JSON, whatever it is."""
    return plain(node)
