"""YAML 1.2 text as a tree of located nodes: every bound held, every mistake placed, no exception.

The parser's event stream is walked without recursion, so that neither a depth bomb nor an alias
bomb costs more than its limit. Scalars follow the YAML 1.2 core schema: `on`, `yes` and `12:30:45`
are text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from headway.spec import mends
from headway.spec.report import Report

MAX_BYTES = 1024 * 1024
MAX_NODES = 100_000  # room for a graph of 10,000 steps; an alias counts as what it stands for
MAX_DOCUMENTS = 1000
MAX_ALIASES = 50
MAX_DEPTH = 32

ScalarValue = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Scalar:
    """A leaf; `raw` is the source between its marks, from which places inside it are found."""

    line: int
    column: int
    value: ScalarValue
    text: str
    raw: str = field(repr=False, default="")
    size: int = 1
    height: int = 0

    def place(self, offset: int) -> tuple[int, int]:
        """Return the line and column in the file of character `offset` of the text.

        Words of the text are met in the same order in the source, whatever its quoting or folding;
        where an escape breaks that, the scalar's own place is returned.
        """
        cursor = self.raw.find("\n") + 1 if self.raw[:1] in ("|", ">") else 0
        for word in re.finditer(r"\S+", self.text):
            found = self.raw.find(word.group(), cursor)
            if found < 0:
                return self.line, self.column
            if offset < word.end() + 1:
                return self._at(found + max(0, offset - word.start()))
            cursor = found + len(word.group())
        return self.line, self.column

    def _at(self, index: int) -> tuple[int, int]:
        before = self.raw[:index]
        lines = before.count("\n")
        if not lines:
            return self.line, self.column + index
        return self.line + lines, index - before.rfind("\n")


@dataclass(frozen=True, slots=True)
class Sequence:
    line: int
    column: int
    items: tuple[Node, ...]
    size: int
    height: int


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys are text and unique; `entries` keeps the order of the file."""

    line: int
    column: int
    entries: dict[str, tuple[Scalar, Node]]
    size: int
    height: int


Node = Scalar | Sequence | Mapping


class Unreadable(Exception):
    """The rest of the text cannot be understood; the report has the problem."""


def documents(text: bytes | str, report: Report) -> list[Node]:
    """Return the root of each document; what is wrong goes to `report`."""
    try:
        source = _decoded(text, report)
        return list(_Composer(source, report).roots())
    except Unreadable:
        return []


def plain(node: Node) -> Any:
    """Return the node's value as JSON."""
    match node:
        case Scalar():
            return node.value
        case Sequence():
            return [plain(item) for item in node.items]
        case Mapping():
            return {key: plain(value) for key, (_, value) in node.entries.items()}


def is_no_text(text: str) -> bool:
    """Return whether a bare scalar of these characters is read as something else than text."""
    patterns = (_INTEGER, _FLOAT, _NOT_FINITE)
    return text in _CONSTANTS or any(pattern.fullmatch(text) for pattern in patterns)


def _decoded(text: bytes | str, report: Report) -> str:
    if isinstance(text, bytes):
        text = _from_utf8(text, report)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        report.at(1, 1, "too_large", "the file is larger than 1 MiB", _SPLIT)
        raise Unreadable
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if odd := _FORBIDDEN.search(text):
        line, column = _line_column(text, odd.start())
        code = f"{ord(odd.group()):04X}"
        message = f"the character U+{code} is not allowed in YAML"
        escape = f'remove it, or write it in double quotes as "\\u{code}"'
        hint = escape if odd.group() in _BREAKS else "remove it"
        report.at(line, column, "bad_character", message, hint)
        raise Unreadable
    return text


# To the parser, which speaks YAML 1.1, these end a line: it would change the text around them.
_BREAKS = "\x85\u2028\u2029"
_FORBIDDEN = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def _from_utf8(data: bytes, report: Report) -> str:
    if len(data) > MAX_BYTES:
        report.at(1, 1, "too_large", "the file is larger than 1 MiB", _SPLIT)
        raise Unreadable
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _line_column(data[: error.start].decode("utf-8"), error.start)
        report.at(line, column, "not_utf8", "the file is not UTF-8 here", "save the file as UTF-8")
        raise Unreadable from None


def _line_column(text: str, index: int) -> tuple[int, int]:
    before = text[:index]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


@dataclass(slots=True)
class _Open:
    """A collection whose end has not been met yet."""

    event: Any
    children: list[Node] = field(default_factory=list)


class _Composer:
    """Turns the event stream into nodes."""

    def __init__(self, source: str, report: Report) -> None:
        self._source = source
        self._report = report
        self._anchors: dict[str, Node] = {}
        self._aliases = 0
        self._nodes = 0
        self._documents = 0
        self._stack: list[_Open] = []

    def roots(self) -> Iterator[Node]:
        for event in self._events():
            node: Node | None = None
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors, self._aliases = {}, 0
                self._documents += 1
                if self._documents > MAX_DOCUMENTS:
                    self._fail(event, "too_large", f"more than {MAX_DOCUMENTS} documents", _SPLIT)
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                self._open(event)
            elif isinstance(event, yaml.ScalarEvent):
                node = self._scalar(event)
            elif isinstance(event, yaml.AliasEvent):
                node = self._alias(event)
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                node = self._close()
            if node is None:
                continue
            if self._stack:
                self._stack[-1].children.append(node)
            else:
                yield node

    def _events(self) -> Iterator[Any]:
        parser = yaml.CSafeLoader(self._source)
        try:
            while parser.check_event():
                yield parser.get_event()
        except yaml.MarkedYAMLError as error:
            self._syntax(error)
        finally:
            parser.dispose()

    def _syntax(self, error: yaml.MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        lines = self._source.split("\n")
        row = lines[line - 1] if line <= len(lines) else ""
        if "\t" in row[: len(row) - len(row.lstrip())]:
            column = row.index("\t") + 1
            self._report.at(line, column, "tab", "a tab cannot indent YAML", "use spaces")
        else:
            said = error.problem or "this is not YAML"
            context = f", {error.context}" if error.context else ""
            hint = mends.syntax(row, said + context)
            self._report.at(line, column, "syntax", f"not YAML: {said}{context}", hint)
        raise Unreadable

    def _open(self, event: Any) -> None:
        if len(self._stack) >= MAX_DEPTH:
            self._too_deep(event)
        self._count(event, 1)
        if event.tag and event.tag not in _COLLECTION_TAGS:
            self._bad_tag(event)
        self._stack.append(_Open(event))

    def _close(self) -> Node:
        opened = self._stack.pop()
        mark = opened.event.start_mark
        line, column = mark.line + 1, mark.column + 1
        size = 1 + sum(child.size for child in opened.children)
        height = 1 + max((child.height for child in opened.children), default=0)
        node: Node
        if isinstance(opened.event, yaml.SequenceStartEvent):
            node = Sequence(line, column, tuple(opened.children), size, height)
        else:
            node = Mapping(line, column, self._entries(opened.children), size, height)
        return self._anchored(opened.event, node)

    def _entries(self, children: list[Node]) -> dict[str, tuple[Scalar, Node]]:
        entries: dict[str, tuple[Scalar, Node]] = {}
        for key, value in zip(children[::2], children[1::2], strict=True):
            if not isinstance(key, Scalar) or not isinstance(key.value, str):
                shown = f"`{key.text}` is" if isinstance(key, Scalar) else "this is"
                self._report.on(key, "bad_key", f"a key must be text, and {shown} not", "quote it")
            elif key.value in entries:
                first = entries[key.value][0].line
                message = f"`{key.value}` is given twice; first in line {first}"
                self._report.on(key, "duplicate_key", message, "keep one of them")
            else:
                entries[key.value] = (key, value)
        return entries

    def _scalar(self, event: Any) -> Node:
        self._count(event, 1)
        start, end = event.start_mark, event.end_mark
        node = Scalar(
            line=start.line + 1,
            column=start.column + 1,
            value=self._value(event),
            text=event.value,
            raw=self._source[start.index : end.index],
        )
        if "\0" in event.value:
            message = "the character U+0000 is not allowed"
            self._report.on(node, "bad_character", message, "remove it")
        return self._anchored(event, node)

    def _value(self, event: Any) -> ScalarValue:
        if event.tag is None or event.tag == "!":
            return self._resolved(event, event.value) if event.implicit[0] else str(event.value)
        if event.tag == "tag:yaml.org,2002:str":
            return str(event.value)
        if event.tag not in _SCALAR_TAGS:
            self._bad_tag(event)
            return f"{event.tag} {event.value}".strip()  # `if: !a` is most likely meant as text
        return self._resolved(event, event.value)

    def _resolved(self, event: Any, text: str) -> ScalarValue:
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        try:
            if _INTEGER.fullmatch(text):
                number = int(text, _base(text))
                if -(2**63) <= number < 2**63:
                    return number
                return self._bad_number(event)
            if _FLOAT.fullmatch(text):
                value = float(text)
                return value if math.isfinite(value) else self._bad_number(event)
        except ValueError:
            return self._bad_number(event)
        return self._bad_number(event) if _NOT_FINITE.fullmatch(text) else text

    def _bad_number(self, event: Any) -> int:
        message = (
            "the number does not fit 64 bits" if event.value[-1:].isdigit() else "not a number"
        )
        mark = event.start_mark
        self._report.at(mark.line + 1, mark.column + 1, "bad_number", message, "quote it for text")
        return 0

    def _alias(self, event: Any) -> Node:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            message = f"more than {MAX_ALIASES} aliases"
            self._fail(event, "too_many_aliases", message, "write some of the values out")
        node = self._anchors.get(event.anchor)
        if node is None:
            message = f"no anchor `&{event.anchor}` ends before this alias"
            hint = f"mark the value with &{event.anchor} above, or put it in quotes if it is text"
            self._fail(event, "bad_alias", message, hint)
        if len(self._stack) + node.height > MAX_DEPTH:
            self._too_deep(event)
        self._count(event, node.size)
        return node

    def _anchored(self, event: Any, node: Node) -> Node:
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _count(self, event: Any, size: int) -> None:
        self._nodes += size
        if self._nodes > MAX_NODES:
            message = f"more than {MAX_NODES:,} values, aliases expanded"
            self._fail(event, "too_large", message, _SPLIT)

    def _bad_tag(self, event: Any) -> None:
        mark = event.start_mark
        message = f"the tag `{event.tag}` has no meaning here"
        hint = f'a value that begins with `!` needs quotes: "{event.tag[:60]} …"'
        self._report.at(mark.line + 1, mark.column + 1, "bad_tag", message, hint)

    def _too_deep(self, event: Any) -> NoReturn:
        message = f"nested deeper than {MAX_DEPTH} levels"
        self._fail(event, "too_deep", message, "make it flatter, or pass it as an artifact")

    def _fail(self, event: Any, code: str, message: str, hint: str) -> NoReturn:
        mark = event.start_mark
        self._report.at(mark.line + 1, mark.column + 1, code, message, hint)
        raise Unreadable


_SPLIT = "split it into several files, and keep data out of the definition"
_COLLECTION_TAGS = ("!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_SCALAR_TAGS = tuple(f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null"))
_CONSTANTS: dict[str, ScalarValue] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def _base(text: str) -> int:
    return {"0o": 8, "0x": 16}.get(text[:2], 10)
