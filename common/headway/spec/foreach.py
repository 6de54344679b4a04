"""Steps that run once for each item: `foreach`, `matrix`; how many at once, may fail, suffice."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from headway.expressions import ExpressionError, Scope, Template, check_type, template
from headway.spec import names, values
from headway.spec.document import Mapping, Node, Scalar, Sequence, plain
from headway.spec.expression_texts import check_templates, refuse_secrets
from headway.spec.report import Report
from headway.spec.values import Key

MOST_ITEMS = 10_000
ITEM_ROOTS = frozenset({"item", "index"})
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d+)?)%", re.A)
_LIST_HINT = 'such as [a, b], or "${{ steps.extract.outputs.parts }}"'
_NO_ITEM = "only a step with `foreach` or `matrix` has an item"
_ASKED_ONCE = "`if` is asked once, before there are items; filter the list instead"


def is_repeated(step: Node) -> bool:
    """Say whether a step's node has items."""
    return isinstance(step, Mapping) and bool({"foreach", "matrix"} & step.entries.keys())


def check_repeated(step: Mapping, kind: str, report: Report) -> None:
    """Note keys that do not fit each other."""
    if {"foreach", "matrix"} <= step.entries.keys():
        message = "`foreach` and `matrix` exclude each other"
        report.on(step.entries["matrix"][0], "conflict", message, "a matrix axis may be any list")
    if kind == "wait":
        for key in ("foreach", "matrix"):
            if key in step.entries:
                message = f"`{key}` has no meaning for a `wait` step: all would wait alike"
                report.on(step.entries[key][0], "wrong_kind", message, "leave it out")
    if {"enough", "allow_failures"} <= step.entries.keys():
        message = "`enough` says how many may fail: all others"
        report.on(step.entries["allow_failures"][0], "conflict", message, "leave it out")
    if not is_repeated(step):
        for key in ("max_parallel", "allow_failures", "enough"):
            if key in step.entries:
                message = f"`{key}` is for steps with `foreach` or `matrix`"
                hint = "add one, or leave it out"
                if key == "allow_failures":
                    hint = "for one step write allow_failure: true"
                report.on(step.entries[key][0], "conflict", message, hint)


def item_scope(step: Mapping, scope: Scope) -> tuple[Scope, Scope]:
    """Return what the step's expressions may name: those of its items, of its `if` and the list
    itself, and those of all else."""
    if not is_repeated(step):
        alone = replace(scope, absent={**scope.absent, "item": _NO_ITEM, "index": _NO_ITEM})
        return alone, alone
    before = replace(scope, absent={**scope.absent, "item": _ASKED_ONCE, "index": _ASKED_ONCE})
    axes = step.entries.get("matrix", (None, None))[1]
    fields = frozenset(axes.entries) if isinstance(axes, Mapping) else None
    return before, replace(scope, roots=scope.roots | ITEM_ROOTS, item=fields)


def check_items(key: str, node: Node, scope: Scope, report: Report) -> None:
    """Note every fault of the expressions that give the items."""
    refuse_secrets(key, node, report)
    check_templates(node, scope, report)
    lists = [node] if key == "foreach" else []
    if key == "matrix" and isinstance(node, Mapping):
        lists = [axis for _, axis in node.entries.values()]
    for each in lists:
        _check_list(each, scope, report)


def _check_list(node: Node, scope: Scope, report: Report) -> None:
    source = _whole(node)
    if source is None or not isinstance(node, Scalar):
        return
    faults, kind = check_type(source, scope)
    if not faults and kind not in ("list", "any"):
        message = f"items are a list, and this is {'an' if kind[0] in 'aeiou' else 'a'} {kind}"
        report.on(node, "wrong_type", message, _LIST_HINT)


def _whole(node: Node) -> str | None:
    """Return the expression that a text is as a whole."""
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        return None
    try:
        parsed = template(node.value)
    except ExpressionError:
        return None  # said by those who check expressions
    whole = parsed.whole if isinstance(parsed, Template) else None
    return None if whole is None else whole.source


def _items(what: str) -> values.Reader:
    def read(node: Node, report: Report) -> Any:
        if isinstance(node, Sequence):
            if not node.items:
                report.on(node, "bad_value", f"{what} is empty", "give it items")
            elif len(node.items) > MOST_ITEMS:
                message = f"{what} has {len(node.items):,} items, more than {MOST_ITEMS:,}"
                report.on(node, "bad_value", message, "split the work into fewer, larger items")
            return plain(node)
        if _whole(node) is not None:
            return plain(node)
        if isinstance(node, Mapping) and "artifact" in node.entries:
            message = "items from an artifact are not available in this version"
            report.on(node, "not_supported", message, "give the list as an output")
        elif isinstance(node, Scalar) and "${{" in node.text:
            message = f"{what} must be one whole expression: text around it makes it a text"
            report.on(node, "wrong_type", message, _LIST_HINT)
        else:
            values.wrong_type(node, report, f"{what} must be a list", _LIST_HINT)
        return None

    return read


def _matrix(node: Node, report: Report) -> dict[str, Any] | None:
    axes: dict[str, Any] | None = values.mapping_of(
        "matrix", _items("an axis"), names.identifier("an axis")
    )(node, report)
    if axes is None:
        return None
    if not axes:
        report.on(node, "bad_value", "matrix has no axis", "such as {region: [eu, us]}")
    count = 1
    for axis in axes.values():
        count *= len(axis) if isinstance(axis, list) else 1
    if count > MOST_ITEMS:
        message = f"the axes have {count:,} combinations, more than {MOST_ITEMS:,}"
        report.on(node, "bad_value", message, "give it fewer values")
    return axes


def _share(what: str, least: int) -> values.Reader:
    """Return a reader of a number of items, or of a percentage of them."""

    def read(node: Node, report: Report) -> int | str | None:
        if isinstance(node, Scalar) and isinstance(node.value, str):
            match = _PERCENT.fullmatch(node.value.strip())
            if match is not None and (float(match[1]) > 0 or not least) and float(match[1]) <= 100:
                return f"{float(match[1]):g}%"
            message = f"{what} cannot be `{values.shown(node.value)}`"
            report.on(node, "bad_value", message, 'a number of items such as 3, or "10%"')
            return None
        found: int | None = values.integer(what, least, MOST_ITEMS)(node, report)
        return found

    return read


KEYS: dict[str, Key] = {
    "foreach": Key(_items("foreach")),
    "matrix": Key(_matrix),
    "max_parallel": Key(values.integer("max_parallel", 1, MOST_ITEMS)),
    "allow_failures": Key(_share("allow_failures", 0), default=lambda: 0),
    "enough": Key(_share("enough", 1)),
}
UNSAID: dict[str, Any] = {
    "foreach": None,
    "matrix": None,
    "max_parallel": None,
    "allow_failures": 0,
    "enough": None,
}
