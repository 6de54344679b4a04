"""One step: its kind and its keys, read into canonical form."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from headway.plan.model import Kind
from headway.spec import foreach, joining, names, values
from headway.spec.assets import uris
from headway.spec.document import Mapping, Node, Scalar
from headway.spec.report import Report, did_you_mean
from headway.spec.secrets import PREFIX
from headway.spec.sql import read_sql
from headway.spec.starting import UNSAID_OF_STEP, said
from headway.spec.values import Key, Reader

OUTPUT_TYPES = ("string", "int", "float", "bool", "date", "datetime", "duration", "list", "object")
DEFAULT_CLASS = "default"
RETRY: dict[str, Any] = {
    "max": 0,
    "backoff": "exponential",
    "delay": 5.0,
    "cap": 300.0,
    "jitter": True,
}


def read_step(name: str, node: Node, report: Report, defaults: dict[str, Any]) -> dict[str, Any]:
    """Return the canonical step: one kind under its own key, every other key filled in."""
    if values.mapping(node, report, f"step `{name}`") is None or not isinstance(node, Mapping):
        return {}
    kind = _kind(name, node, report)
    step = values.record(node, report, {**KINDS, **KEYS}, what="a step", later=LATER)
    if kind is None:
        return {"name": name, "kind": "", **step}
    _only_for(kind, node, report)
    foreach.check_repeated(node, kind, report)
    for other in KINDS.keys() - {kind}:
        del step[other]
    step["env"] = {**defaults["env"], **(step["env"] or {})} if kind in _PROCESS else {}
    for key in ("class", "timeout", "queue_timeout"):
        if key not in node.entries and (kind != Kind.WAIT or key == "class"):
            step[key] = defaults[key]  # a wait is as long as it says, whatever the default is
    step["retry"] = {**defaults["retry"], **(step["retry"] or {})}
    if kind == Kind.PYTHON and step["interpreter"] is None:
        step["interpreter"] = defaults["interpreter"]
    return {"name": name, "kind": kind, **said(step, UNSAID_OF_STEP)}


def _kind(name: str, node: Mapping, report: Report) -> str | None:
    kinds = [key for key in node.entries if key in KINDS or key in LATER_KINDS]
    if not kinds:
        given = next((hint for key in node.entries if (hint := did_you_mean(key, KINDS))), None)
        hint = given or "give it one of: " + ", ".join(KINDS)
        report.on(node, "no_kind", f"step `{name}` does nothing", hint)
        return None
    for extra in kinds[1:] if LATER_KINDS.isdisjoint(kinds) else ():
        message = f"step `{name}` has two kinds, `{kinds[0]}` and `{extra}`"
        report.on(node.entries[extra][0], "two_kinds", message, "make them two steps")
    return kinds[0] if kinds[0] in KINDS and len(kinds) == 1 else None


def _only_for(kind: str, node: Mapping, report: Report) -> None:
    for key, (key_node, _) in node.entries.items():
        if key in _NEEDS_KIND and kind not in _NEEDS_KIND[key]:
            fitting = " and ".join(f"`{k}`" for k in _NEEDS_KIND[key])
            message = f"`{key}` has no meaning for a `{kind}` step; only for {fitting} steps"
            report.on(key_node, "wrong_kind", message, "leave it out")


def _run(node: Node, report: Report) -> str | None:
    value: str | None = values.text("run")(node, report)
    if value is not None and "${{" in value and isinstance(node, Scalar):
        message = "`${{ }}` inside `run` would let a value inject shell commands"
        hint = 'pass it by env: {NAME: "${{ … }}"} and write "$NAME" here'
        report.at(*node.place(value.index("${{")), "injection", message, hint)
    return value


_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.A)


def _python(node: Node, report: Report) -> str | None:
    value: str | None = values.text("python")(node, report)
    if value is not None and not _FUNCTION.fullmatch(value):
        message = f"`{values.shown(value)}` is not of the form module:function"
        report.on(node, "bad_value", message, "such as sales.transform:main")
    return value


def _http(node: Node, report: Report) -> dict[str, Any]:
    http = values.record(node, report, _HTTP, what="http")
    if isinstance(node, Mapping) and {"json", "body"} <= node.entries.keys():
        message = "`json` and `body` exclude each other"
        report.on(node.entries["body"][0], "conflict", message, "keep one of them")
    return http


def _url(node: Node, report: Report) -> str | None:
    value: str | None = values.text("url")(node, report)
    if value is not None and not value.startswith(("http://", "https://", "${{", PREFIX)):
        message = "url must begin with http:// or https://"
        report.on(node, "bad_value", message, "such as https://example.com/hook")
    return value


def _wait(node: Node, report: Report) -> dict[str, Any]:
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return {"for": values.seconds("wait")(node, report), "until": None}
    if isinstance(node, Scalar):
        values.wrong_type(node, report, "wait must be a duration or a mapping", _WAIT_HINT)
        return {"for": None, "until": None}
    wait = values.record(node, report, _WAIT, what="wait")
    if isinstance(node, Mapping) and len(node.entries.keys() & {"for", "until"}) != 1:
        report.on(node, "conflict", "wait needs either `for` or `until`", "such as {for: 10m}")
    return wait


def _until(node: Node, report: Report) -> str | None:
    value: str | None = values.text("until")(node, report)
    if value is None or _WHOLE.fullmatch(value):
        return value
    try:
        if datetime.fromisoformat(value).tzinfo is not None:
            return value
        message = f"`{values.shown(value)}` has no time zone"
    except ValueError:
        message = f"`{values.shown(value)}` is not a time such as 2026-01-31T06:00:00Z"
    report.on(node, "bad_value", f"until: {message}", "end it with Z for UTC")
    return None


_WHOLE = re.compile(r"\s*\$\{\{.*\}\}\s*", re.S)


def read_retry(node: Node, report: Report) -> dict[str, Any]:
    """Return the keys of a retry that are given; a bare number is its `max`."""
    if isinstance(node, Scalar) and type(node.value) is int:
        return {"max": _RETRY["max"].read(node, report)}
    if isinstance(node, Scalar):
        message = "retry must be a count, or a mapping of keys to values"
        values.wrong_type(node, report, message, "such as 3, or {max: 3, delay: 5s}")
        return {}
    given = values.record(node, report, _RETRY, what="retry")
    return {k: v for k, v in given.items() if isinstance(node, Mapping) and k in node.entries}


def _needs(node: Node, report: Report) -> list[str] | None:
    if isinstance(node, Scalar) and isinstance(node.value, str):
        message = f"needs must be a list, not the text `{values.shown(node.value)}`"
        report.on(node, "wrong_type", message, f"needs: [{values.shown(node.value)}]")
        return None
    names_: list[str] | None = values.sequence_of("needs", values.text("a need"))(node, report)
    return names_


def _inside(what: str) -> Reader:
    """Return a reader of a relative path or pattern that stays inside its folder."""

    def read(node: Node, report: Report) -> str | None:
        value: str | None = values.text(what)(node, report)
        if value is not None and (value.startswith(("/", "~")) or ".." in value.split("/")):
            message = f"{what} `{values.shown(value)}` leaves the step's folder"
            report.on(node, "bad_value", message, "give a path relative to it, without `..`")
        return value

    return read


def _status(node: Node, report: Report) -> int | None:
    value: int | None = values.integer("a status", 100, 599)(node, report)
    return value


_HTTP: dict[str, Key] = {
    "method": Key(
        values.choice("method", ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")),
        default=lambda: "GET",
    ),
    "url": Key(_url, required=True),
    "headers": Key(values.mapping_of("headers", values.text("a header", empty=True)), default=dict),
    "json": Key(values.anything),
    "body": Key(values.text("body", empty=True)),
    "expect": Key(values.sequence_of("expect", _status)),
    "timeout": Key(values.seconds("timeout")),
}
_WAIT_HINT = "such as 10m, or {until: 2026-01-31T06:00:00Z}"
_WAIT: dict[str, Key] = {"for": Key(values.seconds("for")), "until": Key(_until)}
_RETRY: dict[str, Key] = {
    "max": Key(values.integer("max", 0, 1000)),
    "backoff": Key(values.choice("backoff", ("exponential", "fixed"))),
    "delay": Key(values.seconds("delay", zero=True)),
    "cap": Key(values.seconds("cap")),
    "jitter": Key(values.boolean("jitter")),
}
KINDS: dict[str, Key] = {
    Kind.RUN.value: Key(_run),
    Kind.PYTHON.value: Key(_python),
    Kind.HTTP.value: Key(_http),
    Kind.SQL.value: Key(read_sql),
    Kind.WAIT.value: Key(_wait),
}
# Kinds and keys that later versions add: to build one is to move it to a table above.
LATER_KINDS = frozenset(
    {
        *("container", "kubernetes", "github_workflow", "jenkins_job", "airflow_dag"),
        *("wait_for", "approval", "pipeline", "uses"),
    }
)
LATER = LATER_KINDS | frozenset(["cache", "repeat", "pool", "undo"])
ENV = values.mapping_of("env", values.environment("a variable"), names.variable)
KEYS: dict[str, Key] = {
    "needs": Key(_needs, default=list),
    **joining.KEYS,
    "if": Key(values.text("if")),
    "env": Key(ENV, default=dict),
    "with": Key(values.mapping_of("with", values.anything), default=dict),
    "class": Key(values.name("class", names.RESOURCE_CLASS)),
    "outputs": Key(
        values.mapping_of(
            "outputs", values.choice("an output's type", OUTPUT_TYPES), names.identifier("output")
        ),
        default=dict,
    ),
    "artifacts": Key(values.sequence_of("artifacts", _inside("an artifact")), default=list),
    "produces": Key(uris("produces"), default=list),
    "inputs": Key(
        values.mapping_of("inputs", values.text("an input"), names.identifier("input")),
        default=dict,
    ),
    **foreach.KEYS,
    "retry": Key(read_retry),
    "timeout": Key(values.seconds("timeout")),
    "queue_timeout": Key(values.seconds("queue_timeout")),
    "workdir": Key(_inside("workdir")),
    "interpreter": Key(values.text("interpreter")),
    "allow_failure": Key(values.boolean("allow_failure"), default=lambda: False),
}
_PROCESS = (Kind.RUN.value, Kind.PYTHON.value)

_NEEDS_KIND: dict[str, tuple[str, ...]] = {
    "with": (Kind.PYTHON.value,),
    "interpreter": (Kind.PYTHON.value,),
    "workdir": _PROCESS,
    "artifacts": _PROCESS,
    "inputs": _PROCESS,
    "env": _PROCESS,
    "outputs": (*_PROCESS, Kind.HTTP.value, Kind.SQL.value),
}
