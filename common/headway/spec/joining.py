"""How steps come together: which ends of its needs let a step run, and whom it puts an end to."""

from __future__ import annotations

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
        steps = entry[1].entries if entry is not None and isinstance(entry[1], Mapping) else {}
        for name, (_, step) in steps.items():
            if isinstance(step, Mapping):
                _check_count(step, report)
                if "cancels" in step.entries:
                    _check_cancels(name, group, step, steps, report)


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


def _check_cancels(
    name: str, group: str, step: Mapping, steps: dict[str, tuple[Scalar, Node]], report: Report
) -> None:
    key, named = step.entries["cancels"]
    if group == "finally":
        message = "a step of `finally` cancels nothing: all others have ended when it starts"
        report.on(key, "conflict", message, "leave it out")
        return
    following: set[str] | None = None
    for each in named.items if isinstance(named, Sequence) else []:
        if not isinstance(each, Scalar):
            continue
        other = each.text
        if other == name:
            report.on(each, "bad_value", f"step `{name}` cancels itself", "leave it out")
        elif other not in steps:
            hint = did_you_mean(other, steps) or "name steps of this pipeline"
            report.on(each, "unknown_step", f"there is no step `{other}`", hint)
        else:
            following = _following(name, steps) if following is None else following
            if other in following:
                message = f"`{other}` follows `{name}`: it cannot have begun by then"
                report.on(each, "bad_value", message, "give it an `if`")


def _following(name: str, steps: dict[str, tuple[Scalar, Node]]) -> set[str]:
    """Return the steps that need this one, however far away."""
    dependents: dict[str, list[str]] = {}
    for other, (_, step) in steps.items():
        for need in needs_of(step) if isinstance(step, Mapping) else []:
            dependents.setdefault(need.text, []).append(other)
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
