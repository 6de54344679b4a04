"""The value of an expression in a context of plain Python values.

The interpreter is fast, but it holds the GIL and knows no budget: only expressions within the
static limits get here, and the coordinator calls this in a process that it can end.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from headway.clock import rfc3339
from headway.expressions.durations import format_duration
from headway.expressions.limits import MAX_LIST_ITEMS, MAX_RESULT_BYTES, ExpressionError
from headway.expressions.names import Names, simple_path
from headway.expressions.scope import RUN_FIELDS, with_interval
from headway.expressions.syntax import parse


def evaluate(source: str, context: Mapping[str, Any]) -> Any:
    """Return the expression's value as JSON; timestamps as RFC 3339, durations such as `1h30m`.

    Raises ExpressionError when there is no value, when the value is no JSON or more than 1 MiB,
    and for a list in the context of more than 10,000 items.
    """
    path = simple_path(source)
    if path is not None:
        return lookup(path, context)
    program = _program(source)
    for value in context.values():
        _check_lists(value)
    return _as_result(_executed(program, dict(context)))


def evaluate_condition(source: str, context: Mapping[str, Any]) -> bool:
    """Return what an `if` decides. Raises ExpressionError for a value that is not a boolean."""
    value = evaluate(source, context)
    if isinstance(value, bool):
        return value
    raise ExpressionError(f"`if` must give true or false, not {_kind(value)}")


def lookup(path: tuple[str, ...], context: Mapping[str, Any]) -> Any:
    """Return what a plain dotted path names, as JSON; needs no interpreter.

    Raises ExpressionError for a part that is not there.
    """
    value: Any = context
    for depth, part in enumerate(path):
        if not isinstance(value, Mapping) or part not in value:
            where = ".".join(path[:depth])
            owner = f"`{where}` has" if where else "there is"
            raise ExpressionError(f"{owner} no `{part}`")
        value = value[part]
    return _as_result(value)


def context(
    wanted: Names,
    *,
    run: Mapping[str, Any],
    params: Mapping[str, Any],
    param_types: Mapping[str, str],
    steps: Mapping[str, Mapping[str, Any]],
    output_types: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    """Return what `evaluate` needs for an expression that reads `wanted`, and no more.

    `steps` holds `{"state", "outputs", "artifacts"}` by step; the types turn JSON into CEL's own
    values: a `datetime` into a timestamp, a whole number of type `float` into a float.
    """
    made: dict[str, Any] = {}
    if "run" in wanted.roots:
        full = with_interval(run)
        made["run"] = {name: _typed(value, RUN_FIELDS.get(name)) for name, value in full.items()}
    if "params" in wanted.roots:
        made["params"] = {
            name: _typed(params[name], param_types.get(name))
            for name in wanted.params
            if name in params
        }
    if "steps" in wanted.roots:
        made["steps"] = {
            name: _step(steps[name], output_types.get(name, {}))
            for name in wanted.steps
            if name in steps
        }
    return made


def _step(step: Mapping[str, Any], types: Mapping[str, str]) -> dict[str, Any]:
    outputs = step["outputs"]
    if isinstance(outputs, list):  # one for each item
        return {**step, "outputs": [_outputs(each, types) for each in outputs]}
    return {**step, "outputs": _outputs(outputs, types)}


def _outputs(outputs: Mapping[str, Any], types: Mapping[str, str]) -> dict[str, Any]:
    return {name: _typed(value, types.get(name)) for name, value in outputs.items()}


def _typed(value: Any, kind: str | None) -> Any:
    if kind == "datetime" and isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            return value
    if kind == "float" and type(value) is int:
        return float(value)
    return value


@lru_cache(maxsize=1024)
def _program(source: str) -> Any:
    parse(source)  # the limits; beyond them the interpreter can overflow the stack
    import cel

    try:
        return cel.compile(source)
    except Exception as error:
        raise ExpressionError(f"the expression is not CEL: {_first_line(error)}") from None


def _executed(program: Any, values: dict[str, Any]) -> Any:
    try:
        return program.execute(values)
    except KeyError as error:
        raise ExpressionError(f"there is no `{error.args[0] if error.args else ''}`") from None
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the interpreter is no Exception
        raise ExpressionError(_first_line(error)) from None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    # What follows the first sentence is advice for who writes Python.
    return lines[0].split(". ")[0][:300] if lines else type(error).__name__


def _check_lists(value: Any) -> None:
    stack = [value]
    while stack:
        match stack.pop():
            case dict() as found:
                stack.extend(found.values())
            case list() as found:
                if len(found) > MAX_LIST_ITEMS:
                    message = (
                        f"a list has {len(found):,} items; expressions take {MAX_LIST_ITEMS:,}"
                    )
                    raise ExpressionError(message)
                stack.extend(found)


def _as_result(value: Any) -> Any:
    result = _Conversion().as_json(value)
    if isinstance(result, (str, list, dict)):
        text = json.dumps(result, ensure_ascii=False, separators=(",", ":"))
        if len(text.encode("utf-8", "surrogatepass")) > MAX_RESULT_BYTES:
            raise ExpressionError("the value is larger than 1 MiB")
    return result


class _Conversion:
    """Turns a value into JSON and stops early at one that cannot be small enough."""

    def __init__(self) -> None:
        self._left = MAX_RESULT_BYTES // 2  # in a list or an object each value takes two bytes

    def as_json(self, value: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ExpressionError("the value is larger than 1 MiB")
        match value:
            case None | bool() | int() | str():
                return value
            case float():
                if math.isfinite(value):
                    return value
                raise ExpressionError("the value is not a finite number")
            case datetime():
                return rfc3339(value)
            case timedelta():
                return _duration(value)
            case dict():
                return {_key(key): self.as_json(item) for key, item in value.items()}
            case list() | tuple():
                return [self.as_json(item) for item in value]
        raise ExpressionError(f"the value is {_kind(value)}, which JSON does not have")


def _duration(value: timedelta) -> str:
    return "-" + format_duration(-value) if value < timedelta(0) else format_duration(value)


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    raise ExpressionError(f"the key `{key}` of an object is not text")


def _kind(value: Any) -> str:
    kinds = {str: "text", bool: "a boolean", int: "a number", float: "a number", list: "a list"}
    kinds |= {dict: "an object", type(None): "null", bytes: "bytes"}
    return kinds.get(type(value), type(value).__name__)
