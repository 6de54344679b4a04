"""Located trees as nodes that the reader of definitions checks, and its problems with their files.

The reader knows one file and places of line and column. A pipeline in Python may have parts of
several files, so a node's line also says which: file × a million + line.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headway.authoring.located import Located
from headway.authoring.places import Place
from headway.errors import Problem
from headway.spec.document import Mapping, Node, Scalar, Sequence

_LINES = 1_000_000  # a file of more lines is larger than what is read


class Files:
    """Numbers for the files of one definition."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}

    def node(self, tree: Located) -> Node:
        """Return the tree as the reader's nodes."""
        line, column = self._place(tree.place)
        value = tree.value
        if isinstance(value, list):
            items = tuple(self.node(item) for item in value)
            return Sequence(line, column, items, *_measure(items))
        if isinstance(value, dict):
            entries = {
                name: (self._name(name, place), self.node(item))
                for name, (place, item) in value.items()
            }
            return Mapping(line, column, entries, *_measure([n for _, n in entries.values()]))
        return Scalar(line, column, value, text_of(value), tree.raw)

    def problem(self, problem: Problem) -> Problem:
        """Return a problem of the reader's at its place in the author's files."""
        file, line = divmod(problem.line, _LINES)
        names = list(self._names)
        name = names[file] if file < len(names) else problem.file
        return Problem(name, line, problem.column, problem.code, problem.message, problem.hint)

    def _name(self, name: str, place: Place) -> Scalar:
        return Scalar(*self._place(place), name, name)

    def _place(self, place: Place) -> tuple[int, int]:
        number = self._names.setdefault(place.file, len(self._names))
        return number * _LINES + min(place.line, _LINES - 1), place.column


def text_of(value: Any) -> str:
    """Return a scalar as YAML writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def plain(tree: Located) -> Any:
    """Return the tree as JSON."""
    if isinstance(tree.value, list):
        return [plain(item) for item in tree.value]
    if isinstance(tree.value, dict):
        return {name: plain(item) for name, (_, item) in tree.value.items()}
    return tree.value


def _measure(nodes: Iterable[Node]) -> tuple[int, int]:
    held = list(nodes)
    size = 1 + sum(node.size for node in held)
    return size, 1 + max((node.height for node in held), default=0)
