"""Places in the author's source, as fine as its text tells: an argument, an item, a name.

The texts are handed in; nothing is read here.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from headway.authoring.sites import Extent, Given, Site

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Place(NamedTuple):
    """Line and column are counted from 1, columns in characters."""

    file: str
    line: int
    column: int


@dataclass(slots=True)
class _Source:
    lines: list[bytes]
    calls: dict[Extent, ast.Call] = field(default_factory=dict)
    functions: dict[int, ast.FunctionDef | ast.AsyncFunctionDef] = field(default_factory=dict)


class Sources:
    """What stands where in the files that `read` gives the text of; None: it cannot be read."""

    def __init__(self, read: Callable[[str], str | None] = lambda file: None) -> None:
        self._read = read
        self._known: dict[str, _Source] = {}

    def find(self, given: Given) -> tuple[Place, ast.AST | None]:
        """Return the place of what was given, and its source where that is known."""
        site = given.site
        node: ast.AST | None
        if site.code is None:
            node = self._parameter(site, given.at)
        else:
            node = _argument(self._call(site), given.at)
        if node is not None:
            return self.place(site.file, node), node
        return self.at_site(site), None

    def name_of(self, given: Given) -> Place | None:
        """Return the place of the keyword by which something was given."""
        call = self._call(given.site) if isinstance(given.at, str) else None
        keywords = call.keywords if call is not None else []
        found = next((each for each in keywords if each.arg == given.at), None)
        return self.place(given.site.file, found) if found is not None else None

    def at_site(self, site: Site) -> Place:
        """Return where a call begins."""
        extent = site.extent()
        if extent is None:
            return Place(site.file, site.line, 1)
        return Place(site.file, extent[0], self._column(site.file, extent[0], extent[2]))

    def place(self, file: str, node: ast.AST) -> Place:
        """Return where a node of a file's source begins."""
        line: int = getattr(node, "lineno", 1)
        return Place(file, line, self._column(file, line, getattr(node, "col_offset", 0)))

    def raw(self, place: Place, node: ast.AST | None) -> str:
        """Return the source text of a literal text, "" for everything else."""
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            return ""
        lines = self._source(place.file).lines[node.lineno - 1 : node.end_lineno]
        if not lines or node.end_col_offset is None:
            return ""
        lines[-1] = lines[-1][: node.end_col_offset]
        lines[0] = lines[0][node.col_offset :]
        return b"\n".join(lines).decode("utf-8", "replace")

    def _column(self, file: str, line: int, offset: int) -> int:
        lines = self._source(file).lines
        before = lines[line - 1][:offset] if 0 < line <= len(lines) else b" " * offset
        return len(before.decode("utf-8", "replace")) + 1

    def _call(self, site: Site) -> ast.Call | None:
        extent = site.extent()
        return self._source(site.file).calls.get(extent) if extent is not None else None

    def _parameter(self, site: Site, name: str | int | None) -> ast.AST | None:
        function = self._source(site.file).functions.get(site.line)
        if function is None or name is None:
            return None if function is None else _Definition(function)
        arguments = function.args
        known = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        known += [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
        found = next((each for each in known if each.arg == name), None)
        return _Parameter(found, _default(arguments, found)) if found is not None else None

    def _source(self, file: str) -> _Source:
        if file not in self._known:
            self._known[file] = _parsed(self._read(file))
        return self._known[file]


class _Definition(ast.AST):
    """A function's name, at the line of `def`."""

    def __init__(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        super().__init__()
        self.lineno, self.col_offset = function.lineno, function.col_offset


class _Parameter(ast.AST):
    """A parameter of a function, with its annotation and default."""

    def __init__(self, argument: ast.arg, default: ast.expr | None) -> None:
        super().__init__()
        self.lineno, self.col_offset = argument.lineno, argument.col_offset
        self.parts = {"default": default, "type": argument.annotation, "enum": argument.annotation}


def _default(arguments: ast.arguments, wanted: ast.arg | None) -> ast.expr | None:
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs: list[tuple[ast.arg, ast.expr | None]] = [
        *zip(reversed(positional), reversed(arguments.defaults), strict=False),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return next((default for argument, default in pairs if argument is wanted), None)


def inside(node: ast.AST | None, key: str | int, *, key_itself: bool = False) -> ast.AST | None:
    """Return the source of one item of a literal list, dict or `dict(…)` call."""
    match node:
        case _Parameter():
            return node.parts.get(key) if isinstance(key, str) else None
        case ast.Dict():
            for name, value in zip(node.keys, node.values, strict=True):
                if isinstance(name, ast.Constant) and name.value == key:
                    return name if key_itself else value
        case ast.List() | ast.Tuple() if isinstance(key, int):
            plain = not any(isinstance(each, ast.Starred) for each in node.elts)
            return node.elts[key] if plain and key < len(node.elts) else None
        case ast.Call():
            for keyword in node.keywords:
                if keyword.arg == key:
                    return keyword if key_itself else keyword.value
    return None


def _argument(call: ast.Call | None, at: str | int | None) -> ast.AST | None:
    if call is None or at is None:
        return call
    if isinstance(at, str):
        return next((each.value for each in call.keywords if each.arg == at), call)
    plain = not any(isinstance(each, ast.Starred) for each in call.args[: at + 1])
    return call.args[at] if plain and at < len(call.args) else call


def _parsed(text: str | None) -> _Source:
    if text is None:
        return _Source([])
    source = _Source(text.encode("utf-8", "surrogatepass").split(b"\n"))
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.end_lineno is not None:
            end = node.end_col_offset or 0
            source.calls[node.lineno, node.end_lineno, node.col_offset, end] = node
        elif isinstance(node, _FUNCTIONS):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            source.functions[first] = node
    return source
