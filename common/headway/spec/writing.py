"""A canonical spec as a YAML file that people read, and that loads to the same digest. Pure.

Block style, keys in the order of the reference, defaults left out, durations with their units.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import yaml

from headway.errors import DefectError
from headway.expressions.durations import format_duration
from headway.plan.digest import digest_of
from headway.spec.definition import load
from headway.spec.document import is_no_text
from headway.spec.expectation_writing import written_tests
from headway.spec.steps import DEFAULT_CLASS, KINDS, RETRY
from headway.spec.trigger_writing import written_triggers

_TOP = (
    *("headway", "pipeline", "team", "owner", "runbook", "description", "labels", "code", "params"),
    *("triggers", "overlap", "concurrency", "priority", "timeout", "notify"),
    "visible_to",
)
_LAST = ("steps", "finally", "tests")
_STEP = (
    *(
        "needs",
        "when",
        "if",
        "cancels",
        *("foreach", "matrix", "max_parallel", "allow_failures", "enough"),
        *KINDS,
        "class",
        "env",
        "with",
        "outputs",
        "artifacts",
        "produces",
        "inputs",
    ),
    *("retry", "timeout", "queue_timeout", "workdir", "interpreter", "allow_failure"),
)
_STEP_DEFAULTS: dict[str, Any] = {
    "when": "all_succeeded",
    "class": DEFAULT_CLASS,
    "retry": RETRY,
    "allow_failure": False,
}
_SECONDS = frozenset({"timeout", "queue_timeout", "delay", "cap", "for"})
_HTTP_DEFAULTS = {"method": "GET"}
_WIDTH = 1_000_000  # a text stays on its line: where it is broken is its author's choice


def written(canonical: Mapping[str, Any]) -> str:
    """Return the definition as YAML.

    Raises:
        DefectError: what was written would not load to the same digest.
    """
    document = {key: canonical[key] for key in _ordered(canonical, _TOP)}
    document = {key: _timed(key, value) for key, value in document.items() if _says(value)}
    if canonical.get("params"):
        document["params"] = {n: _param(param) for n, param in canonical["params"].items()}
    if "triggers" in document:
        document["triggers"] = written_triggers(canonical)
    if "concurrency" in document:
        document["concurrency"] = {k: v for k, v in canonical["concurrency"].items() if _says(v)}
    if not document.get("priority"):
        document.pop("priority", None)
    for group in ("steps", "finally"):
        if canonical.get(group):
            document[group] = {step["name"]: _step(step) for step in canonical[group]}
    if canonical.get("tests"):
        document["tests"] = written_tests(canonical["tests"])
    text = _yaml(document)
    loaded = load(text, "written")
    if loaded.spec is None or loaded.spec.digest != digest_of(canonical):
        name = f"{canonical.get('team')}/{canonical.get('pipeline')}"
        raise DefectError("not_writable", f"{name} cannot be written as YAML of this version")
    return text


def _ordered(values: Mapping[str, Any], order: Iterable[str]) -> list[str]:
    known = [key for key in order if key in values]
    return known + [k for k in values if k not in known and k not in _LAST]


def _says(value: Any) -> bool:
    return value is not None and value != {} and value != []


def _timed(key: str, value: Any) -> Any:
    if key in _SECONDS and isinstance(value, int | float) and not isinstance(value, bool):
        return format_duration(timedelta(seconds=value))
    return value


def _param(param: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"type": param["type"]}
    if param["enum"] is not None:
        made["enum"] = param["enum"]
    if param["default"] is not None:
        made["default"] = param["default"]
    elif not param["required"]:
        made["required"] = False
    if param["description"] is not None:
        made["description"] = param["description"]
    return made


def _step(step: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key in _ordered(step, _STEP):
        value = step[key]
        if key in ("name", "kind") or not _says(value) or _STEP_DEFAULTS.get(key) == value:
            continue
        if key == "retry":
            value = {k: _timed(k, v) for k, v in value.items() if RETRY.get(k) != v}
            value = value["max"] if list(value) == ["max"] else value
        elif key == "http":
            value = _http(value)
        elif key == "sql":
            value = {k: v for k, v in value.items() if _says(v)}
        elif key == "wait":
            value = {k: _timed(k, v) for k, v in value.items() if v is not None}
            value = value["for"] if list(value) == ["for"] else value
        made[key] = _timed(key, value)
    return made


def _http(http: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _timed(key, value)
        for key, value in http.items()
        if (_says(value) or (key in ("json", "expect") and value is not None))
        and _HTTP_DEFAULTS.get(key) != value
    }


class _Writer(yaml.SafeDumper):
    """Writes text plainly where it is read as text again."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(writer: _Writer, value: str) -> yaml.ScalarNode:
    style = None
    if _ODD_BREAKS & set(value):
        style = '"'  # with these as escapes: bare, some readers take them for ends of lines
    elif "\n" in value:
        style = "|"
    elif is_no_text(value) or value.lower() in _ONCE_BOOLEAN:
        style = '"'
    return writer.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_ODD_BREAKS = frozenset("\x85\u2028\u2029")
_ONCE_BOOLEAN = frozenset({"yes", "no", "on", "off"})  # other tools still read them so
_Writer.add_representer(str, _text)


def _yaml(document: Mapping[str, Any]) -> str:
    text: str = yaml.dump(
        document,
        Dumper=_Writer,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=_WIDTH,
    )
    return text
