"""Located trees as JSON: what the child that runs an author's file hands to the command line.

    node: [file number, line, column, value] or [file number, line, column, text, raw source]
    value: a scalar · {"list": [node, …]} · {"map": [[name, file number, line, column, node], …]}

What comes back from the child is the author's word, so everything is checked again.
"""

from __future__ import annotations

from typing import Any

from headway.authoring.located import MAX_DEPTH, Located
from headway.authoring.places import Place


def encoded(tree: Located, files: list[str]) -> list[Any]:
    """Return a tree as JSON; the names of its files are appended to `files`."""
    value = tree.value
    if isinstance(value, list):
        value = {"list": [encoded(item, files) for item in value]}
    elif isinstance(value, dict):
        value = {
            "map": [
                [name, *_numbered(place, files), encoded(item, files)]
                for name, (place, item) in value.items()
            ]
        }
    node = [*_numbered(tree.place, files), value]
    return [*node, tree.raw] if tree.raw else node


def decoded(node: Any, files: list[str], depth: int = 0) -> Located:
    """Return the tree that `encoded` wrote. Raises ValueError for anything else."""
    match node:
        case [int(file), int(line), int(column), value, *rest] if depth <= MAX_DEPTH:
            place = _place(file, line, column, files)
            raw = rest[0] if rest and isinstance(rest[0], str) else ""
            return Located(place, _value(value, files, depth), raw)
    raise ValueError("not a tree")


def _value(value: Any, files: list[str], depth: int) -> Any:
    match value:
        case {"list": list(items)}:
            return [decoded(item, files, depth + 1) for item in items]
        case {"map": list(entries)}:
            return dict(_entry(entry, files, depth) for entry in entries)
        case None | str() | bool() | int() | float():
            return value
    raise ValueError("not a value")


def _entry(entry: Any, files: list[str], depth: int) -> tuple[str, tuple[Place, Located]]:
    match entry:
        case [str(name), int(file), int(line), int(column), node]:
            return name, (_place(file, line, column, files), decoded(node, files, depth + 1))
    raise ValueError("not an entry")


def _numbered(place: Place, files: list[str]) -> list[int]:
    if place.file not in files:
        files.append(place.file)
    return [files.index(place.file), place.line, place.column]


def _place(file: int, line: int, column: int, files: list[str]) -> Place:
    if not 0 <= file < len(files) or line < 0 or column < 0:
        raise ValueError("not a place")
    return Place(files[file], line, column)
