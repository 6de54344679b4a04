"""Static checks: names that exist, types that fit, functions that are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from headway.expressions.durations import parse_duration
from headway.expressions.limits import ExpressionError
from headway.expressions.names import RESERVED, loop_variable, simple_path
from headway.expressions.scope import EVENT_FIELDS, RUN_FIELDS, STEP_FIELDS, Fault, Scope
from headway.expressions.syntax import (
    MACROS,
    Call,
    Chain,
    Collection,
    Conditional,
    Constant,
    Expr,
    Ident,
    Link,
    Member,
    Unary,
    parse,
)
from headway.expressions.syntax_words import mend_of
from headway.expressions.types import FUNCTIONS, MACRO_TYPES, METHODS, family, shown
from headway.spelling import did_you_mean


def check(source: str, scope: Scope, *, condition: bool = False) -> list[Fault]:
    """Return every fault of an expression, in the order of their places.

    `condition` demands a boolean, as `if` does.
    """
    faults, result, offset = _checked(source, scope)
    if condition and result not in ("bool", "any") and not faults:
        message = f"a condition must be true or false, and this is {shown(result)}"
        return [Fault(offset, "not_boolean", message, "compare it with something")]
    return faults


def check_type(source: str, scope: Scope) -> tuple[list[Fault], str]:
    """Return every fault of an expression, in the order of their places, and the type it gives."""
    faults, result, _ = _checked(source, scope)
    return faults, result


def _checked(source: str, scope: Scope) -> tuple[list[Fault], str, int]:
    """Return the faults, the type, and where the expression begins."""
    try:
        tree = _path_tree(source) or parse(source)
    except ExpressionError as error:
        return [Fault(error.offset, "bad_expression", error.message, mend_of(source))], "any", 0
    checker = _Checker(scope)
    result = checker.type_of(tree, {})
    return sorted(checker.faults, key=lambda fault: fault.offset), result, tree.offset


def _path_tree(source: str) -> Expr | None:
    """Return the tree of a plain dotted path without the parser, whose import is slow."""
    path = simple_path(source)
    if path is None or len(path) == 1:
        return None
    offset = len(source) - len(source.lstrip())
    base, links, cursor = Ident(offset, path[0]), [], offset + len(path[0]) + 1
    for part in path[1:]:
        links.append(Link(cursor, "field", part))
        cursor += len(part) + 1
    return Member(offset, base, tuple(links))


class _Checker:
    """Walks a tree once; gathers faults and returns types."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.faults: list[Fault] = []

    def type_of(self, node: Expr, bound: Mapping[str, str]) -> str:
        match node:
            case Constant(type=kind):
                return kind
            case Ident():
                return self._root(node, bound)
            case Chain():
                return self._chain(node, bound)
            case Unary():
                return self._unary(node, bound)
            case Conditional():
                return self._conditional(node, bound)
            case Member():
                return self._member(node, bound)
            case Call():
                return self._call(node, bound)
            case Collection(type=kind):
                for item in node.items:
                    self.type_of(item, bound)
                return kind

    def _root(self, node: Ident, bound: Mapping[str, str]) -> str:
        if node.name in bound:
            return bound[node.name]
        if node.name in ("steps", "params") and node.name in self._scope.roots:
            message = f"`{node.name}` alone is no value; name one, as in `{node.name}.x`"
            self._fault(node.offset, "bad_expression", message)
        elif node.name not in self._scope.roots:
            self._unknown_root(node, bound)
        if node.name == "index":
            return "int"
        return "object" if node.name in ("run", "event") else "any"

    def _unknown_root(self, node: Ident, bound: Mapping[str, str]) -> None:
        hint = self._scope.absent.get(node.name)
        if hint is not None:
            pass
        elif node.name in self._scope.params:
            hint = f"did you mean `params.{node.name}`?"
        elif node.name in self._scope.outputs:
            hint = f"did you mean `steps.{node.name}`?"
        hint = hint or did_you_mean(node.name, {*self._scope.roots, *bound})
        hint = hint or "known here: " + ", ".join(sorted(self._scope.roots))
        message = f"nothing is called `{node.name}` here"
        self._fault(node.offset, "unknown_name", message, hint)

    def _chain(self, node: Chain, bound: Mapping[str, str]) -> str:
        kinds = [self.type_of(operand, bound) for operand in node.operands]
        operators = set(node.operators)
        if operators <= {"&&", "||"}:
            for operand, kind in zip(node.operands, kinds, strict=True):
                self._boolean(operand, kind, node.operators[0])
            return "bool"
        left = kinds[0]
        for index, operator in enumerate(node.operators):
            right, place = kinds[index + 1], node.operands[index]
            if operator in ("+", "-", "*", "/", "%"):
                left = self._arithmetic(place, left, operator, right)
            else:
                self._compare(place, left, operator, right)
                self._durations(node, index, left, right)
                left = "bool"
        return left

    def _boolean(self, operand: Expr, kind: str, operator: str) -> None:
        if kind not in ("bool", "any"):
            message = f"`{operator}` joins conditions, and this is {shown(kind)}"
            self._fault(operand.offset, "wrong_type", message)

    def _compare(self, place: Expr, left: str, operator: str, right: str) -> None:
        if operator == "in":
            if right not in ("list", "object", "any"):
                message = f"`in` looks into a list or an object, not into {shown(right)}"
                self._fault(place.offset, "wrong_type", message)
            return
        if "any" in (left, right) or (operator in ("==", "!=") and "null" in (left, right)):
            return
        if family(left) != family(right):
            hint = 'write timestamp("…")' if {left, right} == {"datetime", "string"} else None
            message = f"{shown(left)} cannot be compared with {shown(right)}"
            self._fault(place.offset, "wrong_type", message, hint)
        elif operator not in ("==", "!=") and family(left) in ("list", "object", "null"):
            self._fault(place.offset, "wrong_type", f"{shown(left)} has no order")

    def _durations(self, node: Chain, index: int, left: str, right: str) -> None:
        """Declared durations are text: without order, and never equal to another kind of text."""
        if "duration" not in (left, right) or node.operators[index] == "in":
            return
        place = node.operands[index]
        if node.operators[index] not in ("==", "!="):
            message = "a duration is text and has no order"
            hint = 'compare lengths: duration(params.x) < duration("90s")'
            self._fault(place.offset, "wrong_type", message, hint)
            return
        for operand in node.operands[index : index + 2]:
            if isinstance(operand, Constant) and isinstance(operand.value, str):
                try:
                    parse_duration(operand.value)
                except ValueError as error:
                    self._fault(operand.offset, "bad_value", f"compared with a duration: {error}")

    def _arithmetic(self, place: Expr, left: str, operator: str, right: str) -> str:
        if "any" in (left, right):
            return "any"
        pair = {left, right}
        if "datetime" in pair or "timespan" in pair:
            return "any"
        if pair == {"int", "float"}:
            message = f"`{operator}` does not mix int and float"
            self._fault(place.offset, "wrong_type", message, "write double(…) or int(…)")
            return "float"
        families = {family(left), family(right)}
        if families == {"number"}:
            return left
        if operator == "+" and families in ({"string"}, {"list"}, {"bytes"}):
            return family(left)
        message = f"`{operator}` does not take {shown(left)} and {shown(right)}"
        hint = "write string(…)" if operator == "+" and "string" in families else None
        self._fault(place.offset, "wrong_type", message, hint)
        return "any"

    def _unary(self, node: Unary, bound: Mapping[str, str]) -> str:
        kind = self.type_of(node.operand, bound)
        if node.operator == "!":
            if kind not in ("bool", "any"):
                message = f"`!` turns a condition round, and this is {shown(kind)}"
                self._fault(node.operand.offset, "wrong_type", message)
            return "bool"
        if family(kind) not in ("number", "any"):
            self._fault(node.operand.offset, "wrong_type", f"`-` does not take {shown(kind)}")
        return kind

    def _conditional(self, node: Conditional, bound: Mapping[str, str]) -> str:
        self._boolean(node.test, self.type_of(node.test, bound), "?")
        yes, no = self.type_of(node.yes, bound), self.type_of(node.no, bound)
        return yes if yes == no else "any"

    def _call(self, node: Call, bound: Mapping[str, str]) -> str:
        if node.name not in FUNCTIONS:
            message = f"there is no function `{node.name}`"
            self._fault(
                node.offset, "unknown_function", message, did_you_mean(node.name, FUNCTIONS)
            )
        elif len(node.arguments) != 1:
            self._fault(node.offset, "bad_expression", f"`{node.name}` takes one argument")
        elif node.name == "has":
            self._has(node.arguments[0], bound)
            return "bool"
        for argument in node.arguments:
            self.type_of(argument, bound)
        return FUNCTIONS.get(node.name, "any")

    def _has(self, argument: Expr, bound: Mapping[str, str]) -> None:
        if not isinstance(argument, Member) or argument.links[-1].kind != "field":
            message = "`has` takes a path that ends in a name, such as has(item.rows)"
            self._fault(argument.offset, "bad_expression", message)
            return
        self._member(argument, bound)

    def _member(self, node: Member, bound: Mapping[str, str]) -> str:
        links = list(node.links)
        kind = self._declared(node, links, bound)
        for link in links:
            kind = self._link(link, kind, bound)
        return kind

    def _declared(self, node: Member, links: list[Link], bound: Mapping[str, str]) -> str:
        """Consume the links that lead to a declared value; return its type."""
        root = node.base.name if isinstance(node.base, Ident) else ""
        known = root in self._scope.roots and root not in bound
        if known and root in ("params", "steps", "run", "event"):
            key = links[0].key()
            if key is not None:
                return self._of_root(root, links)
            if root in ("params", "steps"):
                message = f"`{root}` must be followed by a name, as in `{root}.x`"
                self._fault(links[0].offset, "bad_expression", message)
                return "any"
        if known and root == "item" and self._scope.item is not None:
            self._item(links[0], self._scope.item)
        return self.type_of(node.base, bound)

    def _item(self, link: Link, known: frozenset[str]) -> None:
        key = link.key()
        if key is not None and key not in known:
            hint = did_you_mean(key, known) or _listed(sorted(known))
            self._fault(link.offset, "unknown_name", f"the matrix has no axis `{key}`", hint)

    def _of_root(self, root: str, links: list[Link]) -> str:
        link = links.pop(0)
        key = link.key() or ""
        if root == "steps":
            return self._step(key, link, links)
        if root == "event":
            return EVENT_FIELDS.get(key, "any")
        known = self._scope.params if root == "params" else RUN_FIELDS
        if key in known:
            return known[key]
        what = "param" if root == "params" else "value of the run"
        hint = did_you_mean(key, known) or _listed(known)
        self._fault(link.offset, "unknown_name", f"there is no {what} `{key}`", hint)
        return "any"

    def _step(self, name: str, link: Link, links: list[Link]) -> str:
        if name not in self._scope.outputs:
            hint = did_you_mean(name, self._scope.outputs)
            self._fault(link.offset, "unknown_name", f"there is no step `{name}`", hint)
        elif name not in self._scope.upstream:
            own = name == self._scope.step
            message = (
                "a step cannot read itself" if own else f"`{name}` is not upstream of this step"
            )
            hint = None if own else "add it to `needs`"
            self._fault(link.offset, "not_upstream", message, hint)
        field = links[0].key() if links else None
        if field is None:
            return "any"
        if field not in STEP_FIELDS:
            hint = did_you_mean(field, STEP_FIELDS) or _listed(STEP_FIELDS)
            if field in self._scope.outputs.get(name, {}):
                hint = f"did you mean `steps.{name}.outputs.{field}`?"
            self._fault(links[0].offset, "unknown_name", f"a step has no `{field}`", hint)
            links.clear()
            return "any"
        links.pop(0)
        return self._output(name, links) if field == "outputs" else STEP_FIELDS[field]

    def _output(self, name: str, links: list[Link]) -> str:
        if name in self._scope.lists:
            return self._list_of_outputs(name, links)
        if not links or links[0].key() is None or name not in self._scope.outputs:
            return "any"
        return self._one_output(name, links)

    def _list_of_outputs(self, name: str, links: list[Link]) -> str:
        """The outputs of a step that runs for each item are a list of objects."""
        if not links or links[0].kind == "call":
            return "list"
        link = links.pop(0)
        if link.key() is None:
            for argument in link.arguments:
                self.type_of(argument, {})
            return self._one_output(name, links) if links else "object"
        message = f"the outputs of `{name}` are a list, one object for each item"
        hint = f"such as steps.{name}.outputs.map(o, o.{link.key()})"
        self._fault(link.offset, "wrong_type", message, hint)
        links.clear()
        return "any"

    def _one_output(self, name: str, links: list[Link]) -> str:
        key = links[0].key()
        declared = self._scope.outputs.get(name, {})
        if key is None:
            return "object"
        link = links.pop(0)
        if key not in declared:
            hint = did_you_mean(key, declared) or f"declare it: outputs: {{{key}: …}}"
            message = f"step `{name}` declares no output `{key}`"
            self._fault(link.offset, "unknown_name", message, hint)
        return declared.get(key, "any")

    def _link(self, link: Link, kind: str, bound: Mapping[str, str]) -> str:
        if link.kind == "call":
            return self._method(link, kind, bound)
        for argument in link.arguments:
            self.type_of(argument, bound)
        if link.name in RESERVED:
            message = f'`{link.name}` is a word of CEL; write ["{link.name}"]'
            self._fault(link.offset, "bad_expression", message)
        if kind not in ("any", "object") and not (kind == "list" and link.kind == "index"):
            what = f"`{link.name}`" if link.kind == "field" else "members"
            self._fault(link.offset, "wrong_type", f"{shown(kind)} has no {what}")
        return "any"

    def _method(self, link: Link, kind: str, bound: Mapping[str, str]) -> str:
        if link.is_macro:
            return self._macro(link, kind, bound)
        for argument in link.arguments:
            self.type_of(argument, bound)
        if link.name in METHODS:
            return METHODS[link.name]
        if link.name in MACROS:
            message = f"`{link.name}` takes a variable and an expression"
            self._fault(link.offset, "bad_expression", message)
        else:
            hint = did_you_mean(link.name, {*METHODS, *MACROS})
            self._fault(link.offset, "unknown_function", f"there is no method `{link.name}`", hint)
        return "any"

    def _macro(self, link: Link, kind: str, bound: Mapping[str, str]) -> str:
        if kind not in ("list", "object", "any"):
            message = f"`{link.name}` walks a list or an object, not {shown(kind)}"
            self._fault(link.offset, "wrong_type", message)
        variable = loop_variable(link)
        if variable is None:
            self._fault(
                link.arguments[0].offset, "bad_expression", "a variable's name belongs here"
            )
            return MACRO_TYPES[link.name]
        for argument in link.arguments[1:]:
            result = self.type_of(argument, {**bound, variable: "any"})
            wants = link.name != "map" or argument is not link.arguments[-1]
            if wants and result not in ("bool", "any"):
                message = f"`{link.name}` needs a condition here, and this is {shown(result)}"
                self._fault(argument.offset, "wrong_type", message)
        return MACRO_TYPES[link.name]

    def _fault(self, offset: int, code: str, message: str, hint: str | None = None) -> None:
        self.faults.append(Fault(offset, code, message, hint or _MENDS.get(code)))


_MENDS = {
    "wrong_type": "compare values of one type; convert with int(…), double(…) or string(…)",
    "bad_value": "durations are written 90s, 5m or 1h30m",
    "bad_expression": "see Expressions in the reference of definitions",
    "unknown_name": "expressions know params, steps and run",
    "unknown_function": "see Expressions in the reference of definitions",
    "not_upstream": "read a step that has ended before: name it in `needs`",
}


def _listed(known: Iterable[str]) -> str | None:
    words = list(known)[:8]
    return "known: " + ", ".join(words) if words else None
