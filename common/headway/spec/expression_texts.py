"""Expressions and secrets in texts of a definition: checked where they may stand, else refused."""

from __future__ import annotations

from collections.abc import Iterator

from headway.expressions import ExpressionError, Fault, Scope, Template, check, template
from headway.spec.document import Mapping, Node, Scalar, Sequence
from headway.spec.report import Report
from headway.spec.secrets import PREFIX, fault_in

_SECRET_HINT = "only the texts of `env`, `with`, `http` and `sql` are given secrets"
_EXPRESSION_HINT = "env, with, http, sql, wait and inputs can"


def check_condition(node: Node, scope: Scope, report: Report) -> None:
    """Note every fault of an `if`: an expression without braces that gives a boolean."""
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.text.strip():
        return
    if "${{" in node.text:
        place = node.place(node.text.index("${{"))
        message = "`if` is an expression as it stands"
        report.at(*place, "bad_expression", message, "write it without `${{ }}`")
        return
    note(check(node.text, scope, condition=True), node, 0, report)


def check_templates(node: Node, scope: Scope, report: Report) -> None:
    """Note every fault of the expressions in the texts below a node."""
    for scalar in texts(node):
        try:
            parsed = template(scalar.text)
        except ExpressionError as error:
            place = scalar.place(error.offset)
            report.at(*place, "bad_expression", error.message, "close it: ${{ params.day }}")
            continue
        for part in parsed.expressions if isinstance(parsed, Template) else ():
            if report.full:
                return
            if PREFIX in part.source:
                message = "what an expression gives is never taken for a secret"
                hint = "write secret://name beside `${{ }}`, not inside"
                report.at(*scalar.place(part.offset), "bad_secret", message, hint)
            note(check(part.source, scope), scalar, part.offset, report)


def check_secrets(node: Node, report: Report) -> None:
    """Note what is wrong with the references to secrets in the texts below a node."""
    url = node.entries.get("url") if isinstance(node, Mapping) else None
    for scalar in texts(node):
        if PREFIX not in scalar.text:
            continue
        fault = fault_in(scalar.text, is_url=url is not None and scalar is url[1])
        if fault is not None:
            report.at(*scalar.place(fault.offset), "bad_secret", fault.message, fault.hint)


def refuse_secrets(key: str, node: Node, report: Report, secret_hint: str = _SECRET_HINT) -> None:
    """Note every reference to a secret in the texts of a key that is given none."""
    for scalar in texts(node):
        if PREFIX in scalar.text:
            place = scalar.place(scalar.text.index(PREFIX))
            hint = 'pass it by env: {NAME: "secret://…"} and write "$NAME" here'
            hint = hint if key == "run" else secret_hint
            report.at(*place, "bad_secret", f"`{key}` cannot hold a secret", hint)


def refuse_templates(key: str, node: Node, report: Report, hint: str = _EXPRESSION_HINT) -> None:
    """Note every expression in the texts of a key that holds none."""
    for scalar in texts(node):
        if "${{" in scalar.text:
            place = scalar.place(scalar.text.index("${{"))
            message = f"`{key}` cannot hold an expression"
            report.at(*place, "bad_expression", message, hint)


def note(faults: list[Fault], scalar: Scalar, base: int, report: Report) -> None:
    """Note the faults of an expression that begins at character `base` of a text."""
    for fault in faults:
        place = scalar.place(base + fault.offset)
        report.at(*place, fault.code, fault.message, fault.hint)


def texts(node: Node) -> Iterator[Scalar]:
    """Yield every text below a node that is a value."""
    match node:
        case Scalar():
            if isinstance(node.value, str):
                yield node
        case Sequence():
            for item in node.items:
                yield from texts(item)
        case Mapping():
            for _, value in node.entries.values():
                yield from texts(value)
