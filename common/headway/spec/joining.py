"""How steps come together: which ends of its needs let a step run, and whom it puts an end to."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping as Named
from typing import Any

from headway.plan.model import When
from headway.spec import values
from headway.spec.document import Mapping, Node, Scalar, Sequence
from headway.spec.graph import needs_of
from headway.spec.report import Report, did_you_mean
from headway.spec.values import Key

RULES = tuple(rule.value for rule in When if rule is not When.SOME_SUCCEEDED)
EVERY_STEP = "all"
_MOST_NEEDS = 10_000
_MOST_ENDS = 100  # steps with `cancels`: each may name all the others of a large graph


def read_when(node: Node, report: Report) -> Any:
    """Return a rule by its name, or {"succeeded": how many}."""
    if not isinstance(node, Mapping):
        return values.choice("when", RULES)(node, report)
    return values.record(node, report, _WHEN, what="when")


def read_cancels(node: Node, report: Report) -> list[str] | str | None:
    """Return the names of steps, or `all`."""
    if isinstance(node, Scalar) and node.value == EVERY_STEP:
        return EVERY_STEP
    if isinstance(node, Scalar) and isinstance(node.value, str):
        shown = values.shown(node.value)
        message = f"cancels must be a list of steps, or `{EVERY_STEP}`, not the text `{shown}`"
        report.on(node, "wrong_type", message, f"cancels: [{shown}]")
        return None
    names: list[str] | None = values.sequence_of("cancels", values.text("a step"))(node, report)
    return names


def check_joining(root: Mapping, report: Report) -> None:
    """Note counts that no step can reach, and steps that a step cannot put an end to."""
    for group in ("steps", "finally"):
        entry = root.entries.get(group)
        named = entry[1].entries if entry is not None and isinstance(entry[1], Mapping) else {}
        steps = {name: step for name, (_, step) in named.items() if isinstance(step, Mapping)}
        for step in steps.values():
            _check_count(step, report)
        _check_ends(group, steps, named, report)


def _check_count(step: Mapping, report: Report) -> None:
    rule = step.entries.get("when", (None, None))[1]
    wanted = rule.entries.get("succeeded") if isinstance(rule, Mapping) else None
    if wanted is None or not isinstance(wanted[1], Scalar):
        return
    count, needs = wanted[1].value, len(needs_of(step))
    if isinstance(count, int) and count > needs:
        many = f"{needs} step{'' if needs == 1 else 's'}"
        message = f"{count} steps cannot succeed: it needs {many}"
        report.on(wanted[1], "bad_value", message, "name more needs, or a smaller number")


def _check_ends(
    group: str, steps: Named[str, Mapping], named: Collection[str], report: Report
) -> None:
    ending = {name: step for name, step in steps.items() if "cancels" in step.entries}
    dependents = _dependents(steps) if ending else {}
    for count, (name, step) in enumerate(ending.items()):
        key, others = step.entries["cancels"]
        if group == "finally":
            message = "a step of `finally` cancels nothing: all others have ended when it starts"
            report.on(key, "conflict", message, "leave it out")
        elif count == _MOST_ENDS:
            message = f"more than {_MOST_ENDS} steps have `cancels`"
            report.on(key, "bad_value", message, "let one step put an end to several")
            return
        elif isinstance(others, Sequence):
            following = _following(name, dependents)
            for other in others.items:
                if isinstance(other, Scalar):
                    _check_end(name, other, following, named, report)


def _check_end(
    name: str, other: Scalar, following: set[str], named: Collection[str], report: Report
) -> None:
    if other.text == name:
        report.on(other, "bad_value", f"step `{name}` cancels itself", "leave it out")
    elif other.text not in named:
        hint = did_you_mean(other.text, named) or "name steps of this pipeline"
        report.on(other, "unknown_step", f"there is no step `{other.text}`", hint)
    elif other.text in following:
        message = f"`{other.text}` follows `{name}`: it cannot have begun by then"
        report.on(other, "bad_value", message, "give it an `if`")


def _dependents(steps: Named[str, Mapping]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, step in steps.items():
        for need in needs_of(step):
            found.setdefault(need.text, []).append(name)
    return found


def _following(name: str, dependents: Named[str, list[str]]) -> set[str]:
    """Return the steps that need this one, however far away."""
    found: set[str] = set()
    stack = [name]
    while stack:
        for follower in dependents.get(stack.pop(), ()):
            if follower not in found:
                found.add(follower)
                stack.append(follower)
    return found


_WHEN: dict[str, Key] = {
    "succeeded": Key(values.integer("succeeded", 1, _MOST_NEEDS), required=True),
}
KEYS: dict[str, Key] = {
    "when": Key(read_when, default=lambda: "all_succeeded"),
    "cancels": Key(read_cancels, default=list),
}
UNSAID: dict[str, Any] = {"cancels": []}
