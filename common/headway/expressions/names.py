"""Which outside values an expression reads."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from headway.expressions.syntax import Expr, Ident, Link, Member, children, parse

_SIMPLE = re.compile(r"\s*(params|steps|run|event|item|index)((?:\.[a-zA-Z_][a-zA-Z0-9_]*)*)\s*")
RESERVED = frozenset(
    {
        *("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import"),
        *("in", "let", "loop", "namespace", "null", "package", "return", "true", "var", "void"),
        "while",
    }
)


@dataclass(frozen=True, slots=True)
class Names:
    """The steps and params that are named, and every root, those two included."""

    steps: frozenset[str] = frozenset()
    params: frozenset[str] = frozenset()
    roots: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Found:
    steps: set[str] = field(default_factory=set)
    params: set[str] = field(default_factory=set)
    roots: set[str] = field(default_factory=set)


def simple_path(source: str) -> tuple[str, ...] | None:
    """Return the parts of a plain dotted path such as `params.day`; None for anything else."""
    match = _SIMPLE.fullmatch(source)
    if match is None:
        return None
    path = (match.group(1), *match.group(2).split(".")[1:])
    return None if RESERVED & set(path) else path


def names(source: str) -> Names:
    """Return what the expression reads. Raises ExpressionError when it does not parse."""
    path = simple_path(source)
    if path is not None:
        named = frozenset(path[1:2])
        return Names(
            steps=named if path[0] == "steps" else frozenset(),
            params=named if path[0] == "params" else frozenset(),
            roots=frozenset(path[:1]),
        )
    found = _Found()
    _visit(parse(source), frozenset(), found)
    return Names(frozenset(found.steps), frozenset(found.params), frozenset(found.roots))


def _visit(node: Expr, bound: frozenset[str], found: _Found) -> None:
    if isinstance(node, Ident) and node.name not in bound:
        found.roots.add(node.name)
    if not isinstance(node, Member):
        for child in children(node):
            _visit(child, bound, found)
        return
    if isinstance(node.base, Ident) and node.base.name not in bound and node.links:
        key = node.links[0].key()
        if key is not None and node.base.name == "steps":
            found.steps.add(key)
        elif key is not None and node.base.name == "params":
            found.params.add(key)
    _visit(node.base, bound, found)
    for link in node.links:
        inner = bound | {variable} if (variable := loop_variable(link)) else bound
        for argument in link.arguments[1:] if link.is_macro else link.arguments:
            _visit(argument, inner, found)


def loop_variable(link: Link) -> str | None:
    """Return the name that a comprehension binds in its body, if the link is one."""
    first = link.arguments[0] if link.is_macro else None
    return first.name if isinstance(first, Ident) else None
