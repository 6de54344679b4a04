"""The triggers of a pipeline: what starts its runs, on which condition, and with which params."""

from __future__ import annotations

from collections.abc import Mapping as Named
from dataclasses import dataclass, replace
from typing import Any

from headway.expressions import ExpressionError, Scope, Template, check_type, template
from headway.expressions.types import shown as shown_type
from headway.spec import names, values
from headway.spec.document import Mapping, Node, Scalar, Sequence, plain
from headway.spec.expression_texts import (
    check_condition,
    check_templates,
    refuse_secrets,
    refuse_templates,
    texts,
)
from headway.spec.params import Param, read_value
from headway.spec.report import Report, did_you_mean
from headway.spec.trigger_kinds import KINDS
from headway.spec.values import Key

MAX_TRIGGERS = 50
DEDUPE_WINDOW_SECONDS = 86400.0
MAX_BATCH = 10_000
_ROOTS = frozenset({"event", "run"})
_OF_SCHEDULE = frozenset({"run"})
_NO_EVENT = "a schedule has no event; its times are run.logical_date and run.data_interval_start"
_NO_PARAMS = "the trigger itself gives the params; it sees what starts the run"
_OF_EVENTS = ("dedupe", "debounce", "batch")
# Which types of expressions a param can take; text is read as the param's type, `any` is not known.
_FITTING: dict[str, frozenset[str]] = {
    "string": frozenset({"date", "duration", "datetime", "timespan"}),
    "int": frozenset({"int"}),
    "float": frozenset({"int", "float"}),
    "bool": frozenset({"bool"}),
    "date": frozenset({"date", "datetime"}),
    "datetime": frozenset({"datetime"}),
    "duration": frozenset({"duration", "timespan"}),
    "list": frozenset({"list"}),
    "object": frozenset({"object"}),
}


@dataclass(frozen=True, slots=True)
class Owner:
    """The pipeline that the triggers start; `broken` are params whose declaration has mistakes."""

    pipeline: str
    params: Named[str, Param]
    broken: frozenset[str] = frozenset()


def read_triggers(node: Node, owner: Owner, report: Report) -> list[dict[str, Any]]:
    """Return the canonical triggers, each with a name of its own."""
    if not isinstance(node, Sequence):
        hint = "write each behind a dash: - schedule: {cron: '0 6 * * *'}"
        values.wrong_type(node, report, "triggers must be a list", hint)
        return []
    if len(node.items) > MAX_TRIGGERS:
        message = f"more than {MAX_TRIGGERS} triggers"
        report.on(node, "bad_value", message, "make it several pipelines, or filter with `if`")
        return []
    read = [_trigger(item, owner, report) for item in node.items]
    _name_them(read, node, report)
    return read


def default_names(kinds: list[str], given: list[str | None]) -> list[str]:
    """Return the names of triggers: as given, else the kind, numbered where that is taken."""
    taken = {name for name in given if name is not None}
    found = []
    for kind, name in zip(kinds, given, strict=True):
        number = 1
        free = kind
        while name is None and free in taken:
            number += 1
            free = f"{kind}-{number}"
        found.append(name or free)
        taken.add(found[-1])
    return found


def _name_them(read: list[dict[str, Any]], node: Sequence, report: Report) -> None:
    given = [trigger.get("name") for trigger in read]
    for index, name in enumerate(given):
        if name is not None and name in given[:index]:
            item = node.items[index]
            assert isinstance(item, Mapping)
            message = f"two triggers are called `{name}`"
            report.on(item.entries["name"][1], "duplicate_trigger", message, "rename one of them")
    kinds = [trigger.get("kind") or "trigger" for trigger in read]
    for trigger, name in zip(read, default_names(kinds, given), strict=True):
        trigger["name"] = name


def _trigger(node: Node, owner: Owner, report: Report) -> dict[str, Any]:
    if values.mapping(node, report, "a trigger") is None or not isinstance(node, Mapping):
        return {}
    kind = _kind(node, report)
    read = values.record(node, report, {"name": _NAME, **KINDS, **_KEYS}, what="a trigger")
    if kind is None:
        return {"name": read["name"]}
    for other in KINDS.keys() - {kind}:
        del read[other]
    _check_kind(kind, node, read[kind], owner, report)
    _check_expressions(kind, node, report)
    _check_params(kind, node, read, owner, report)
    return {"name": read.pop("name"), "kind": kind, kind: read.pop(kind), **read}


def _kind(node: Mapping, report: Report) -> str | None:
    kinds = [key for key in node.entries if key in KINDS]
    if not kinds:
        hint = _hint_for_kind(node) or "give it one of: " + ", ".join(KINDS)
        report.on(node, "no_kind", "the trigger waits for nothing", hint)
        return None
    for extra in kinds[1:]:
        message = f"a trigger has one kind, not `{kinds[0]}` and `{extra}`"
        report.on(node.entries[extra][0], "two_kinds", message, "make them two triggers")
    return kinds[0] if len(kinds) == 1 else None


def _hint_for_kind(node: Mapping) -> str | None:
    for key in node.entries:
        if key in ("cron", "every", "timezone", "interval"):
            return f"write schedule: {{{key}: …}}"
        if hint := did_you_mean(key, KINDS):
            return hint
    return None


def _check_kind(
    kind: str, node: Mapping, read: dict[str, Any], owner: Owner, report: Report
) -> None:
    place = node.entries[kind][1]
    refuse_templates(kind, place, report, "`if`, `params` and `dedupe` look at the event")
    if kind == "webhook" and read:
        read["name"] = read["name"] or owner.pipeline
    else:
        refuse_secrets(kind, place, report, "only the `secret` of a webhook is one")
    if kind == "pipeline" and read.get("name") == owner.pipeline and isinstance(place, Mapping):
        message = "a pipeline cannot wait for its own runs: each would start another, without end"
        hint = "name another pipeline; for runs in turn take schedule: {every: …}"
        report.on(place.entries["name"][1], "self_trigger", message, hint)
    for key in _OF_EVENTS if kind == "schedule" else ():
        if key in node.entries:
            message = f"`{key}` has no meaning for a schedule: its ticks are single"
            report.on(node.entries[key][0], "wrong_kind", message, "leave it out")
    if {"debounce", "batch"} <= node.entries.keys():
        message = "`debounce` and `batch` exclude each other"
        report.on(node.entries["batch"][0], "conflict", message, "keep one of them")


def _check_expressions(kind: str, node: Mapping, report: Report) -> None:
    scope = _scope(kind)
    if "if" in node.entries:
        check_condition(node.entries["if"][1], scope, report)
    if "dedupe" in node.entries:
        check_templates(node.entries["dedupe"][1], scope, report)
        refuse_secrets("dedupe", node.entries["dedupe"][1], report)
    for key in ("name", "debounce", "batch"):
        if key in node.entries:
            refuse_templates(key, node.entries[key][1], report, "`if` and `params` can")


def _scope(kind: str) -> Scope:
    if kind == "schedule":
        return Scope(roots=_OF_SCHEDULE, absent={"params": _NO_PARAMS, "event": _NO_EVENT})
    return Scope(roots=_ROOTS, absent={"params": _NO_PARAMS})


# --- params --------------------------------------------------------------------------------------


def _check_params(
    kind: str, node: Mapping, read: dict[str, Any], owner: Owner, report: Report
) -> None:
    place = node.entries.get("params", (node, node))[1]
    given = place.entries if isinstance(place, Mapping) and place is not node else {}
    for name, (key, value) in given.items():
        param = owner.params.get(name)
        if param is None and name in owner.broken:
            continue  # told where it is declared
        if param is None:
            hint = did_you_mean(name, owner.params) or _known(owner.params)
            message = f"the pipeline has no param `{values.shown(name)}`"
            report.on(key, "unknown_param", message, hint)
        else:
            read["params"][name] = _given(value, param, _scope(kind), report)
    for name, param in owner.params.items():
        if param.required and name not in given:
            message = f"param `{name}` has no default, and this trigger gives it no value"
            report.on(place, "missing_param", message, f"add params: {{{name}: …}}")


def _known(params: Named[str, Param]) -> str:
    return "it has: " + ", ".join(params) if params else "it has no params"


def _given(node: Node, param: Param, scope: Scope, report: Report) -> Any:
    """Return the value that a trigger gives a param: a literal of its type, or with expressions."""
    refuse_secrets("params", node, report)
    if not any("${{" in scalar.text for scalar in texts(node)):
        return read_value(node, param, report)
    check_templates(node, scope, report)
    if not isinstance(node, Scalar):
        return read_value(node, replace(param, enum=None), report)
    _check_type(node, param, scope, report)
    return plain(node)


def _check_type(node: Scalar, param: Param, scope: Scope, report: Report) -> None:
    try:
        parsed = template(node.text)
    except ExpressionError:
        return  # told already
    whole = parsed.whole if isinstance(parsed, Template) else None
    if whole is None:
        return
    _, found = check_type(whole.source, scope)
    if found == "null":
        message = f"`{param.name}` is null for every event, which is no {param.type}"
        mend = "give it a value" if param.required else "leave it out: its default counts then"
        report.at(*node.place(whole.offset), "wrong_type", message, mend)
    elif found not in ("any", "string") and found not in _FITTING[param.type]:
        message = f"param `{param.name}` is of type {param.type}, and this is {shown_type(found)}"
        place = node.place(whole.offset)
        report.at(*place, "wrong_type", message, "convert it, or give another value")


def _expression(what: str) -> values.Reader:
    """Return a reader of text that says something else from one event to the next."""

    def read(node: Node, report: Report) -> str | None:
        value: str | None = values.text(what)(node, report)
        if value is not None and "${{" not in value:
            message = f"{what} is the same for every event: `{values.shown(value)}`"
            report.on(node, "bad_value", message, 'such as "${{ event.id }}"')
        return value

    return read


def _dedupe(node: Node, report: Report) -> dict[str, Any]:
    return values.record(node, report, _DEDUPE, what="dedupe")


def _batch(node: Node, report: Report) -> dict[str, Any]:
    return values.record(node, report, _BATCH, what="batch")


_DEDUPE: dict[str, Key] = {
    "key": Key(_expression("key"), required=True),
    "window": Key(values.seconds("window"), default=lambda: DEDUPE_WINDOW_SECONDS),
}
_BATCH: dict[str, Key] = {
    "size": Key(values.integer("size", 1, MAX_BATCH), required=True),
    "within": Key(values.seconds("within"), required=True),
}
_NAME = Key(values.name("a trigger's name", names.PIPELINE))
_KEYS: dict[str, Key] = {
    "if": Key(values.text("if")),
    "params": Key(values.mapping_of("params", values.anything), default=dict),
    "dedupe": Key(_dedupe),
    "debounce": Key(values.seconds("debounce")),
    "batch": Key(_batch),
}
