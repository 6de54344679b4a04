"""Outputs of steps: read from the file that a script writes, and checked against declarations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headway.portable import DEEPEST, is_deep, unheld_number
from headway.protocol.messages import OUTPUTS_LIMIT_BYTES
from headway.spec.params import coerce
from headway_worker.regular import open_regular


class OutputError(Exception):
    """Outputs that break the step's declaration; `code` is the failure's stable code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def read_output_file(path: Path) -> dict[str, Any]:
    """Return what `$HEADWAY_OUTPUT` holds: `name=value` lines, or one JSON object.

    Raises:
        OutputError: `bad_output`, it is neither; `outputs_too_large`.
    """
    try:
        with open_regular(path) as file:
            data = file.read(2 * OUTPUTS_LIMIT_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise OutputError("bad_output", f"$HEADWAY_OUTPUT cannot be read: {error}") from error
    if len(data) > 2 * OUTPUTS_LIMIT_BYTES:
        raise _too_large(len(data))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise OutputError("bad_output", f"$HEADWAY_OUTPUT is not UTF-8: {error}") from error
    return _json_object(text) if text.lstrip().startswith("{") else _lines(text)


def check(declared: Mapping[str, str], given: Mapping[str, Any], *, text: bool) -> dict[str, Any]:
    """Return the declared outputs, each in its type's JSON form.

    `text` also reads a value's text as its declared type, as scripts can only write text.

    Raises:
        OutputError: `undeclared_output`, `missing_output`, `bad_output`.
    """
    undeclared = sorted(given.keys() - declared.keys())
    if undeclared:
        hint = f"declare it: outputs: {{{undeclared[0]}: string}}"
        raise OutputError(
            "undeclared_output", f"the step gave the output {undeclared[0]}, undeclared; {hint}"
        )
    missing = sorted(declared.keys() - given.keys())
    if missing:
        raise OutputError("missing_output", f"the step gave no value for its output {missing[0]}")
    checked = {}
    for name, kind in declared.items():
        try:
            checked[name] = coerce(given[name], kind, from_text=text)
        except ValueError as error:
            raise OutputError(
                "bad_output", f"output {name} must be of type {kind}: {error}"
            ) from error
    return checked


def ensure_size(outputs: Mapping[str, Any]) -> None:
    """Raise OutputError (`outputs_too_large`, `bad_output`) for what cannot be reported."""
    if is_deep(outputs):
        raise OutputError("bad_output", f"the outputs are nested deeper than {DEEPEST} levels")
    if (number := unheld_number(outputs)) is not None:
        raise OutputError("bad_output", f"the outputs cannot be kept: {number}")
    try:
        size = len(json.dumps(outputs, ensure_ascii=False, allow_nan=False).encode())
    except (ValueError, TypeError) as error:
        raise OutputError("bad_output", f"the outputs are not JSON: {error}") from error
    if size > OUTPUTS_LIMIT_BYTES:
        raise _too_large(size)


def _too_large(size: int) -> OutputError:
    message = (
        f"the outputs take {size} bytes of {OUTPUTS_LIMIT_BYTES}; write larger data to an artifact"
    )
    return OutputError("outputs_too_large", message)


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OutputError(
            "bad_output", f"$HEADWAY_OUTPUT is not one JSON object: {error}"
        ) from error
    assert isinstance(value, dict)
    return value


def _lines(text: str) -> dict[str, Any]:
    outputs = {}
    # Only a line feed ends a line: a value may hold what else Unicode takes for the end of one.
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not line.strip():
            continue
        name, equals, value = line.partition("=")
        if not equals:
            message = f"line {number} of $HEADWAY_OUTPUT is not name=value: {line[:100]}"
            raise OutputError("bad_output", message)
        outputs[name.strip()] = value
    return outputs
