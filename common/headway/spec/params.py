"""Parameters: how they are declared, and how given values become typed ones."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any

from headway.clock import rfc3339
from headway.errors import DefinitionError, Problem
from headway.expressions import RUN_FIELDS, with_interval
from headway.expressions.durations import parse_duration
from headway.portable import unportable
from headway.spec import mends, names, values
from headway.spec.document import Mapping as MappingNode
from headway.spec.document import Node, Scalar
from headway.spec.report import MAX_PROBLEMS, Report, did_you_mean
from headway.spec.values import Key

TYPES = ("string", "int", "float", "bool", "date", "datetime", "duration", "list", "object")
_DEFAULT_OF_RUN = re.compile(r"\s*\$\{\{\s*run\.([a-z_]+)\s*\}\}\s*")


@dataclass(frozen=True, slots=True)
class Param:
    """A declared parameter; without `required` an absent value becomes `default`."""

    name: str
    type: str
    required: bool
    default: Any = None
    enum: tuple[Any, ...] | None = None
    description: str | None = None

    def as_dict(self) -> dict[str, Any]:
        enum = None if self.enum is None else list(self.enum)
        return {
            "type": self.type,
            "required": self.required,
            "default": self.default,
            "enum": enum,
            "description": self.description,
        }


def read_params(node: Node, report: Report) -> dict[str, Param]:
    """Return the declarations by name; defaults and enums are checked against the type."""
    params = {}
    for name, (key, value) in (values.mapping(node, report, "params") or {}).items():
        names.identifier("param")(key, report)
        given = values.record(value, report, _KEYS, what=f"param `{name}`")
        if given and given["type"] in TYPES:
            params[name] = _declared(name, value, given, report)
    return params


def _declared(name: str, node: Node, given: dict[str, Any], report: Report) -> Param:
    assert isinstance(node, MappingNode)
    kind, has_default = given["type"], "default" in node.entries
    enum = None
    if given["enum"] is not None:
        items = node.entries["enum"][1]
        enum = tuple(_checked(item, kind, f"`{name}`", report) for item in items.items)  # type: ignore[union-attr]
    default = None
    if has_default:
        default_node = node.entries["default"][1]
        default = _default(default_node, kind, name, report)
        literal = not (isinstance(default, str) and "${{" in default)
        if enum is not None and literal and default not in enum:
            shown = ", ".join(str(value) for value in enum)
            message = f"the default of `{name}` is not in its enum"
            report.on(default_node, "bad_value", message, f"one of: {shown}")
    if has_default and given["required"]:
        message = f"param `{name}` is required, so its default is never used"
        report.on(node.entries["required"][0], "conflict", message, "leave one of the two out")
    required = not has_default if given["required"] is None else given["required"]
    return Param(name, kind, required, default, enum, given["description"])


def _default(node: Node, kind: str, name: str, report: Report) -> Any:
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or "${{" not in node.value:
        mend = "leave `default` out; `required: false` says that it may have no value"
        return _checked(node, kind, f"the default of `{name}`", report, mend=mend)
    match = _DEFAULT_OF_RUN.fullmatch(node.value)
    place = node.place(node.value.index("${{"))
    if match is None:
        message = "a default can name one value of the run, and nothing else"
        report.at(*place, "bad_expression", message, "such as ${{ run.logical_date }}")
        return None
    field = match.group(1)
    if field not in RUN_FIELDS:
        hint = did_you_mean(field, RUN_FIELDS) or "one of: " + ", ".join(RUN_FIELDS)
        where = node.place(match.start(1))
        report.at(*where, "unknown_name", f"a run has no `{field}`", hint)
        return None
    fitting = ("date", "datetime") if RUN_FIELDS[field] == "datetime" else ("string",)
    if kind not in fitting:
        message = f"the default of `{name}` must be of type {kind}; `run.{field}` is of type "
        report.at(*place, "wrong_type", message + fitting[-1], f"make it {{type: {fitting[-1]}}}")
        return None
    return "${{ run." + field + " }}"


def _checked(node: Node, kind: str, what: str, report: Report, *, mend: str | None = None) -> Any:
    """Return the value as one of the type; `mend` is what helps where it is null."""
    value = values.anything(node, report)
    try:
        return coerce(value, kind)
    except ValueError as error:
        if value is None:
            report.on(node, "wrong_type", f"{what} is null, which is no {kind}", mend)
            return None
        report.on(node, "wrong_type", f"{what} must be of type {kind}: {error}", _mend(node, kind))
        return None


def read_value(node: Node, param: Param, report: Report) -> Any:
    """Return the canonical value of a node that gives a param a literal."""
    mend = "give it a value" if param.required else "leave it out: its default counts then"
    value = _checked(node, param.type, f"`{param.name}`", report, mend=mend)
    if param.enum is not None and value is not None and value not in param.enum:
        shown = ", ".join(str(option) for option in param.enum)
        message = f"`{values.shown(str(value))}` is not in the enum of `{param.name}`"
        report.on(node, "bad_value", message, f"one of: {shown}")
    return value


def _mend(node: Node, kind: str) -> str:
    if kind == "bool" and isinstance(node, Scalar):
        return mends.boolean(node.text)
    if kind == "string" and isinstance(node, Scalar) and node.text:
        return f'in quotes it is text: "{values.shown(node.text)}"'
    if kind == "duration" and isinstance(node, Scalar):
        return mends.duration(node.text) or f"such as {_EXAMPLES[kind]}"
    return f"such as {_EXAMPLES[kind]}, or another type"


_EXAMPLES = {
    "string": '"text"',
    "int": "3",
    "float": "0.5",
    "bool": "true",
    "date": "2026-01-31",
    "datetime": "2026-01-31T06:00:00Z",
    "duration": "90s",
    "list": "[a, b]",
    "object": "{a: 1}",
}
_KEYS: dict[str, Key] = {
    "type": Key(values.choice("type", TYPES), required=True),
    "default": Key(values.anything),
    "enum": Key(values.sequence_of("enum", values.anything)),
    "required": Key(values.boolean("required")),
    "description": Key(values.text("description", empty=True)),
}


def bind(
    declared: Mapping[str, Any], given: Mapping[str, Any], run: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the value of each declared param as JSON; see `headway.spec.bind_params`."""
    unknown = islice((name for name in given if name not in declared), MAX_PROBLEMS)
    problems = [_unknown(name, declared) for name in unknown]
    bound: dict[str, Any] = {}
    for name, param in declared.items():
        try:
            bound[name] = _bound(name, param, given, run)
        except ValueError as error:
            problems.append(Problem("params", 0, 0, "bad_value", f"`{name}`: {error}"))
        except KeyError:
            hint = f"give it a value: -p {name}=…"
            message = f"param `{name}` has no value"
            problems.append(Problem("params", 0, 0, "missing_param", message, hint))
    if problems:
        message = "; ".join(problem.message for problem in problems[:3])
        raise DefinitionError(message, problems, code="invalid_params", hint=problems[0].hint)
    return bound


def _unknown(name: str, declared: Mapping[str, Any]) -> Problem:
    hint = did_you_mean(name, declared)
    if hint is None:
        hint = "it has: " + ", ".join(declared) if declared else "it has no params"
    message = f"the pipeline has no param `{values.shown(name)}`"
    return Problem("params", 0, 0, "unknown_param", message, hint)


def _bound(
    name: str, param: Mapping[str, Any], given: Mapping[str, Any], run: Mapping[str, Any]
) -> Any:
    if name in given:
        value = coerce(given[name], param["type"], from_text=True)
        if (why := unportable(value)) is not None:
            raise ValueError(why)
    elif param["required"]:
        raise KeyError(name)
    elif param["default"] is None:
        return None
    else:
        value = coerce(_of_run(param["default"], run), param["type"])
    if param["enum"] is not None and value not in param["enum"]:
        shown = ", ".join(str(option) for option in param["enum"])
        raise ValueError(f"`{value}` is not one of: {shown}")
    return value


def _of_run(default: Any, run: Mapping[str, Any]) -> Any:
    match = _DEFAULT_OF_RUN.fullmatch(default) if isinstance(default, str) else None
    if match is None:
        return default
    value = with_interval(run)[match.group(1)]
    if value is None:
        raise ValueError(f"the run has no {match.group(1)}")
    return value


def coerce(value: Any, kind: str, *, from_text: bool = False) -> Any:
    """Return the value as canonical JSON of a type; `from_text` also reads what a shell passes.

    Raises ValueError with a sentence for a value that has another type.
    """
    if value is None:
        raise ValueError(f"null is no {kind}; leave it out, or give it a value")
    if from_text and isinstance(value, str) and kind in _FROM_TEXT:
        value = _FROM_TEXT[kind](value.strip())
    return _CANONICAL[kind](value)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} is not text")
    if "\0" in value:
        raise ValueError("the character U+0000 is not allowed")
    return value


def _int(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{_shown(value)} is not a whole number")
    if not -(2**63) <= value < 2**63:
        raise ValueError("the number does not fit 64 bits")
    return value


def _float(value: Any) -> float:
    if type(value) not in (int, float) or value != value or abs(value) == float("inf"):
        raise ValueError(f"{_shown(value)} is not a number")
    return float(value)


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{_shown(value)} is neither true nor false")
    return value


def _date(value: Any) -> str:
    """A timestamp gives its date in UTC."""
    if isinstance(value, str) and _DAY.fullmatch(value):
        return date.fromisoformat(value).isoformat()
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    try:
        return _moment(value).date().isoformat()
    except ValueError:
        raise ValueError(f"{_shown(value)} is not a date such as 2026-01-31") from None


def _datetime(value: Any) -> str:
    return rfc3339(_moment(value))


def _moment(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(moment, datetime) and moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{_shown(value)} is not a time with its zone, such as 2026-01-31T06:00:00Z")


def _duration(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} is not a duration such as 90s or 1h30m")
    parse_duration(value)
    return value  # as it was written: expressions compare durations as text


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{_shown(value)} is not a list")
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{_shown(value)} is not an object")
    return value


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise ValueError(f"{_shown(text)} is not JSON") from None


def _no_constant(text: str) -> Any:
    raise ValueError(text)


def _number(text: str) -> Any:
    return int(text) if _INTEGER.fullmatch(text) else text


def _decimal(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _shown(value: Any) -> str:
    return f"`{values.shown(str(value)[:100])}`"


_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.A)
_INTEGER = re.compile(r"[-+]?\d{1,20}", re.A)
_FROM_TEXT: dict[str, Callable[[str], Any]] = {
    "int": _number,
    "float": _decimal,
    "bool": lambda text: {"true": True, "false": False}.get(text.lower(), text),
    "date": str,
    "datetime": str,
    "duration": str,
    "list": _json,
    "object": _json,
}
_CANONICAL: dict[str, Callable[[Any], Any]] = {
    "string": _string,
    "int": _int,
    "float": _float,
    "bool": _bool,
    "date": _date,
    "datetime": _datetime,
    "duration": _duration,
    "list": _list,
    "object": _object,
}
