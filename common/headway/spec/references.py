"""Expressions of a definition, checked against what stands upstream of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headway.expressions import ExpressionError, Scope, Template, simple_path, template
from headway.spec.document import Mapping, Node
from headway.spec.expression_texts import (
    check_condition,
    check_secrets,
    check_templates,
    refuse_secrets,
    refuse_templates,
    texts,
)
from headway.spec.foreach import check_items, is_repeated, item_scope
from headway.spec.graph import needs_of
from headway.spec.params import Param
from headway.spec.report import Report
from headway.spec.secrets import PLACES
from headway.spec.steps import LATER

Steps = dict[str, Node]

_TEMPLATED = frozenset({"env", "with", "http", "sql", "wait", "inputs"})
_OWN_RULES = frozenset({"run", "if"})
_PROCESS_KINDS = frozenset({"run", "python"})
IMPLIED_OUTPUTS = {"http": {"status": "int"}, "sql": {"count": "int"}}


def check_references(
    root: Mapping, steps: list[dict[str, Any]], params: dict[str, Param], report: Report
) -> None:
    """Note every fault of every expression in `steps` and `finally`, and every secret."""
    main, last = _steps(root, "steps"), _steps(root, "finally")
    graph = _Graph(main, last)
    types = {name: param.type for name, param in params.items()}
    outputs = {step["name"]: _outputs(step) for step in steps if "name" in step}
    for name in graph.order:
        outputs.setdefault(name, {})  # a broken step is a step all the same
    lists = frozenset(n for n, node in [*main.items(), *last.items()] if is_repeated(node))
    for name, node in [*main.items(), *last.items()]:
        if isinstance(node, Mapping):
            upstream = graph.upstream_of(name)
            scope = Scope(params=types, outputs=outputs, upstream=upstream, step=name, lists=lists)
            _check_step(root, node, scope, report)
    if "params" in root.entries:
        refuse_secrets("params", root.entries["params"][1], report)


def _steps(root: Mapping, group: str) -> Steps:
    entry = root.entries.get(group)
    if entry is None or not isinstance(entry[1], Mapping):
        return {}
    return {name: node for name, (_, node) in entry[1].entries.items()}


def _outputs(step: dict[str, Any]) -> dict[str, str]:
    return {**IMPLIED_OUTPUTS.get(step["kind"], {}), **(step["outputs"] or {})}


@dataclass(frozen=True, slots=True)
class _Upstream:
    """A set of steps as bits, so that ten thousand of such sets stay small."""

    bits: int
    order: dict[str, int]

    def __contains__(self, name: object) -> bool:
        index = self.order.get(name) if isinstance(name, str) else None
        return index is not None and bool(self.bits >> index & 1)


class _Graph:
    """Which steps have ended before each step starts: a `finally` step has all main ones too."""

    def __init__(self, main: Steps, last: Steps) -> None:
        self.order = {name: index for index, name in enumerate({**main, **last})}
        self._main, self._last = main, last
        self._all_main = (1 << len(main)) - 1
        self._bits: dict[str, int] = {}

    def upstream_of(self, name: str) -> _Upstream:
        bits = self._ancestors(name)
        return _Upstream(bits | (self._all_main if name in self._last else 0), self.order)

    def _ancestors(self, name: str) -> int:
        """Without recursion; a circle, which is a problem of its own, is cut where it closes."""
        stack, entered = [name], {name}
        while stack:
            current = stack[-1]
            needs = self._needs(current)
            missing = [n for n in needs if n not in self._bits and n not in entered]
            if missing:
                stack.extend(missing)
                entered.update(missing)
                continue
            stack.pop()
            bits = 0
            for need in needs:
                bits |= 1 << self.order[need] | self._bits.get(need, 0)
            self._bits[current] = bits
        return self._bits[name]

    def _needs(self, name: str) -> list[str]:
        group = self._last if name in self._last else self._main
        node = group[name]
        if not isinstance(node, Mapping):
            return []
        return [need.text for need in needs_of(node) if need.text in group]


def _check_step(root: Mapping, step: Mapping, scope: Scope, report: Report) -> None:
    before, scope = item_scope(step, scope)
    for key, (_, node) in step.entries.items():
        if report.full:
            return
        if key in ("foreach", "matrix"):
            check_items(key, node, before, report)
            continue
        if key in PLACES:
            check_secrets(node, report)
        elif key not in LATER:
            refuse_secrets(key, node, report)
        if key == "if":
            check_condition(node, before, report)
        elif key == "inputs":
            _check_inputs(node, scope, report)
        elif key in _TEMPLATED:
            check_templates(node, scope, report)
        elif key not in _OWN_RULES and key not in LATER:
            refuse_templates(key, node, report)
    if _PROCESS_KINDS & step.entries.keys():
        _, defaults = root.entries.get("defaults", (None, None))
        if isinstance(defaults, Mapping) and "env" in defaults.entries:
            check_templates(defaults.entries["env"][1], scope, report)
            check_secrets(defaults.entries["env"][1], report)


def _check_inputs(node: Node, scope: Scope, report: Report) -> None:
    check_templates(node, scope, report)
    for scalar in texts(node):
        try:
            parsed = template(scalar.text)
        except ExpressionError:
            continue
        whole = parsed.whole if isinstance(parsed, Template) else None
        path = simple_path(whole.source) if whole else None
        if path is None or len(path) != 3 or path[0] != "steps" or path[2] != "artifacts":
            hint = "such as ${{ steps.extract.artifacts }}"
            message = "an input is the artifacts of one step"
            report.on(scalar, "bad_value", message, hint)
