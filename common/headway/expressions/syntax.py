"""CEL source as a small tree: chains and member links are flat, so that depth means nesting.

The grammar is cel-python's; its tree (one node a precedence level) is folded here into the few
shapes that checks ask for. Every node knows its character offset in the source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from headway.expressions.limits import MAX_DEPTH, MAX_LENGTH, ExpressionError


@dataclass(frozen=True, slots=True)
class Constant:
    offset: int
    type: str
    value: Any


@dataclass(frozen=True, slots=True)
class Ident:
    offset: int
    name: str


@dataclass(frozen=True, slots=True)
class Chain:
    """Operands joined from left to right by operators of one precedence."""

    offset: int
    operands: tuple[Expr, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unary:
    offset: int
    operator: str
    operand: Expr


@dataclass(frozen=True, slots=True)
class Conditional:
    offset: int
    test: Expr
    yes: Expr
    no: Expr


@dataclass(frozen=True, slots=True)
class Link:
    """One step along a member path: `.name`, `[index]` or `.name(arguments)`."""

    offset: int
    kind: Literal["field", "index", "call"]
    name: str
    arguments: tuple[Expr, ...] = ()

    @property
    def is_macro(self) -> bool:
        return self.kind == "call" and self.name in MACROS and len(self.arguments) > 1

    def key(self) -> str | None:
        """Return the name that `.name` or `["name"]` says, else None."""
        if self.kind == "field":
            return self.name
        if self.kind == "index" and isinstance(self.arguments[0], Constant):
            value = self.arguments[0].value
            return value if isinstance(value, str) else None
        return None


@dataclass(frozen=True, slots=True)
class Member:
    offset: int
    base: Expr
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Call:
    offset: int
    name: str
    arguments: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Collection:
    """A list, or a map whose keys and values alternate."""

    offset: int
    type: str
    items: tuple[Expr, ...]


Expr = Constant | Ident | Chain | Unary | Conditional | Member | Call | Collection
MACROS = frozenset({"exists", "all", "exists_one", "map", "filter"})


@lru_cache(maxsize=4096)
def parse(source: str) -> Expr:
    """Return the tree of an expression. Raises ExpressionError for one that breaks a limit."""
    if len(source) > MAX_LENGTH:
        message = f"the expression is longer than {MAX_LENGTH:,} characters"
        raise ExpressionError(message, MAX_LENGTH)
    if not source.strip():
        raise ExpressionError("the expression is empty")
    tree = _Folding().fold(_lark_tree(source), 1)
    _check_comprehensions(tree, inside=False)
    return tree


def children(node: Expr) -> Iterator[Expr]:
    """Yield the nodes directly below a node, arguments of calls included."""
    match node:
        case Chain(operands=nodes) | Call(arguments=nodes) | Collection(items=nodes):
            yield from nodes
        case Unary(operand=operand):
            yield operand
        case Conditional(test=test, yes=yes, no=no):
            yield from (test, yes, no)
        case Member(base=base, links=links):
            yield base
            for link in links:
                yield from link.arguments
        case Constant() | Ident():
            return


def _lark_tree(source: str) -> Any:
    # Imported late: it costs a quarter of a second, and most definitions hold plain paths only.
    from celpy.celparser import CELParseError, CELParser

    try:
        return CELParser().parse(source)
    except CELParseError as error:
        line, column = error.line or 1, error.column or 1
        offset = _offset(source, line, column)
        near = source[offset : offset + 20].split("\n")[0]
        what = f"at `{near}`" if near.strip() else "at its end"
        raise ExpressionError(f"the expression is not CEL {what}", offset) from None


def _offset(source: str, line: int, column: int) -> int:
    lines = source.split("\n")
    return min(sum(len(text) + 1 for text in lines[: line - 1]) + column - 1, len(source))


def _check_comprehensions(node: Expr, *, inside: bool) -> None:
    """A comprehension inside another's body would cost the square of the list's length."""
    if not isinstance(node, Member):
        for child in children(node):
            _check_comprehensions(child, inside=inside)
        return
    _check_comprehensions(node.base, inside=inside)
    for link in node.links:
        if link.is_macro and inside:
            message = f"`{link.name}` inside another comprehension is not allowed"
            raise ExpressionError(message, link.offset)
        for argument in link.arguments:
            _check_comprehensions(argument, inside=inside or link.is_macro)


_OPERATORS = {
    "relation_lt": "<",
    "relation_le": "<=",
    "relation_gt": ">",
    "relation_ge": ">=",
    "relation_eq": "==",
    "relation_ne": "!=",
    "relation_in": "in",
    "addition_add": "+",
    "addition_sub": "-",
    "multiplication_mul": "*",
    "multiplication_div": "/",
    "multiplication_mod": "%",
}
_CHAINS = {"conditionalor": "||", "conditionaland": "&&"}
_WRAPPERS = frozenset(
    {
        *("expr", "conditionalor", "conditionaland", "relation", "addition", "multiplication"),
        *("unary", "member", "primary", "paren_expr"),
    }
)


class _Folding:
    """Turns Lark's tree into ours; only nesting recurses."""

    def fold(self, tree: Any, depth: int) -> Expr:
        while tree.data in _WRAPPERS and len(tree.children) == 1 and _is_tree(tree.children[0]):
            if tree.data == "paren_expr":
                depth += 1
            tree = tree.children[0]
        offset = _start(tree)
        if depth > MAX_DEPTH:
            raise ExpressionError(f"the expression is nested deeper than {MAX_DEPTH}", offset)
        match tree.data:
            case "conditionalor" | "conditionaland" | "relation" | "addition" | "multiplication":
                return self._chain(tree, depth)
            case "expr":
                test, yes, no = (self.fold(child, depth + 1) for child in tree.children)
                return Conditional(offset, test, yes, no)
            case "unary":
                operator = "!" if tree.children[0].data == "unary_not" else "-"
                return Unary(offset, operator, self.fold(tree.children[1], depth + 1))
            case "member_dot" | "member_dot_arg" | "member_index":
                return self._member(tree, depth)
            case _:
                return self._primary(tree, depth)

    def _chain(self, tree: Any, depth: int) -> Expr:
        """`a + b + c` leans left in Lark's tree; it becomes one flat chain."""
        offset, level = _start(tree), tree.data
        operands: list[Expr] = []
        operators: list[str] = []
        while tree.data == level and len(tree.children) == 2:
            left, right = tree.children
            operands.append(self.fold(right, depth + 1))
            operators.append(_CHAINS.get(level) or _OPERATORS[left.data])
            tree = left if level in _CHAINS else left.children[0]
            while tree.data == level and len(tree.children) == 1:
                tree = tree.children[0]
        operands.append(self.fold(tree, depth + 1))
        return Chain(offset, tuple(reversed(operands)), tuple(reversed(operators)))

    def _member(self, tree: Any, depth: int) -> Expr:
        offset = _start(tree)
        links: list[Link] = []
        while True:
            while tree.data in ("member", "primary") and len(tree.children) == 1:
                tree = tree.children[0]
            if tree.data == "member_dot":
                name = tree.children[1]
                links.append(Link(name.start_pos, "field", str(name)))
            elif tree.data == "member_dot_arg":
                name, rest = tree.children[1], tree.children[2:]
                arguments = self._arguments(rest, depth)
                links.append(Link(name.start_pos, "call", str(name), arguments))
            elif tree.data == "member_index":
                index = self.fold(tree.children[1], depth + 1)
                links.append(Link(index.offset, "index", "", (index,)))
            else:
                base = self.fold(tree, depth + 1)
                return Member(offset, base, tuple(reversed(links)))
            tree = tree.children[0]

    def _arguments(self, rest: list[Any], depth: int) -> tuple[Expr, ...]:
        found = rest[0].children if rest and rest[0] is not None else []
        return tuple(self.fold(child, depth + 1) for child in found)

    def _primary(self, tree: Any, depth: int) -> Expr:
        offset = _start(tree)
        match tree.data:
            case "literal":
                return _constant(tree.children[0])
            case "ident":
                return Ident(offset, str(tree.children[0]))
            case "ident_arg":
                name, rest = tree.children[0], tree.children[1:]
                return Call(offset, str(name), self._arguments(rest, depth))
            case "list_lit":
                return Collection(offset, "list", self._arguments(tree.children, depth))
            case "map_lit":
                return Collection(offset, "object", self._arguments(tree.children, depth))
        raise ExpressionError("this form of CEL is not available", offset)


def _start(tree: Any) -> int:
    """An empty list or map has no tokens and so no place of its own."""
    while _is_tree(tree):
        if getattr(tree.meta, "start_pos", None) is not None or not tree.children:
            return getattr(tree.meta, "start_pos", None) or 0
        tree = tree.children[0]
    return getattr(tree, "start_pos", None) or 0


def _is_tree(node: Any) -> bool:
    return hasattr(node, "data")


def _constant(token: Any) -> Constant:
    text, offset = str(token), token.start_pos
    match token.type:
        case "INT_LIT" | "UINT_LIT":
            digits = text.rstrip("uU")
            value = int(digits, 16 if "0x" in digits.lower() else 10)
            if not -(2**63) <= value < 2**63:
                raise ExpressionError("the number does not fit 64 bits", offset)
            return Constant(offset, "int", value)
        case "FLOAT_LIT":
            return Constant(offset, "float", float(text))
        case "BOOL_LIT":
            return Constant(offset, "bool", text == "true")
        case "NULL_LIT":
            return Constant(offset, "null", None)
        case "BYTES_LIT":
            return Constant(offset, "bytes", None)
    return Constant(offset, "string", _unquoted(text))


_PLAIN = re.compile(r"""(['"])([^'"\\]*)\1""")


def _unquoted(text: str) -> str | None:
    """Return the text of a plain literal; None for raw, long or escaped ones, never checked."""
    match = _PLAIN.fullmatch(text)
    return match.group(2) if match else None
