"""Write docs/reference.md from the schema of definitions; `--check` compares instead."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from headway.spec.joining import RULES
from headway.spec.jsonschema import schema
from headway.spec.params import TYPES

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"
DURATION = r"(\d+d)?"

HEAD = """\
# Reference of definitions

Every key, its type, its default and what it means. This page is made by `scripts/reference.py` from
what checks definitions, as `headway schema` prints it; a test compares them.
[Definitions](definitions.md) tells the same as a story, with expressions and what steps see when
they run.

A **duration** is text such as `90s`, `5m`, `1h30m` or `500ms`. A **name** of a step, param or
output has letters, digits and underscores and does not begin with a digit; one of a pipeline, team
or class has small letters, digits and hyphens. A key in bold must be given.
"""

RECORDS = (
    ("The pipeline", "The document itself.", ()),
    ("A param", "Each value of `params`.", ("$defs", "param")),
    (
        "A step",
        "Each value of `steps` and `finally`; exactly one of `run`, `python`, `http`, "
        "`sql` and `wait` says its kind.",
        ("$defs", "step"),
    ),
    (
        "Retries",
        "`retry`: these keys, or a number, which is `max`.",
        ("$defs", "retry", "anyOf", 1),
    ),
    (
        "A trigger",
        "Each entry of `triggers`; exactly one of `schedule`, `webhook`, `event`, `asset` and "
        "`pipeline` says its kind.",
        ("$defs", "trigger"),
    ),
    ("A schedule", "`schedule` of a trigger: `cron` or `every`.", ("$defs", "schedule")),
    ("A webhook", "`webhook` of a trigger.", ("$defs", "webhook")),
    ("An event", "`event` of a trigger.", ("$defs", "event")),
    ("An asset", "`asset` of a trigger: one of the three.", ("$defs", "asset")),
    ("Another pipeline", "`pipeline` of a trigger.", ("$defs", "pipeline")),
    ("Same events", "`dedupe` of a trigger.", ("$defs", "trigger", "properties", "dedupe")),
    ("Batches", "`batch` of a trigger.", ("$defs", "trigger", "properties", "batch")),
    ("Limits", "`concurrency`.", ("properties", "concurrency")),
    ("A notice", "Each entry of `notify`.", ("properties", "notify", "items")),
    ("An HTTP request", "`http` of a step.", ("$defs", "step", "properties", "http")),
    ("A statement", "`sql` of a step.", ("$defs", "step", "properties", "sql")),
    ("A test", "Each entry of `tests`.", ("$defs", "test")),
    ("An expectation", "`expect` of a test.", ("$defs", "test", "properties", "expect")),
    (
        "An expected step",
        "Each value of `steps` of an expectation: these keys, or a state alone.",
        (
            *("$defs", "test", "properties", "expect"),
            *("properties", "steps", "additionalProperties", "anyOf", 1),
        ),
    ),
    ("Defaults", "`defaults`: for all steps that do not give the key.", ("properties", "defaults")),
)

WHEN_HEAD = """\
## `when`

By how the steps in its `needs` end; a step without `needs` runs at once. Failed is also what did
not run because a step before it failed. A step that does not run is skipped, or, where a failure is
why, `upstream_failed`.

| value | the step runs when |
|---|---|"""
TYPES_HEAD = """\
## Types

Of params and outputs. Text (of a command line, of `$HEADWAY_OUTPUT`) is read as

| type | text |
|---|---|"""
WHEN = {
    "all_succeeded": "all have succeeded",
    "all_failed": "all have failed",
    "all_done": "all have ended, however they ended: to clean up",
    "all_skipped": "all were skipped",
    "any_succeeded": "one has succeeded; it does not wait for the others",
    "any_failed": "one has failed; it does not wait for the others",
    "any_done": "one has succeeded or failed; it does not wait for the others",
    "none_failed": "all have ended and none has failed; some may be skipped",
    "none_skipped": "all have ended and none was skipped",
    "none_failed_min_one_success": "all have ended, none has failed, and one has succeeded",
    "all_done_min_one_success": "all have ended, none was skipped, and one has succeeded",
    "always": "at once, whatever its `needs` do",
}
READ_AS = {
    "string": "text",
    "int": "a whole number of at most 64 bits: `3`, `-1`",
    "float": "a number: `0.5`, `3`",
    "bool": "`true` or `false`",
    "date": "`2026-01-31`",
    "datetime": "`2026-01-31T06:00:00Z`, with its zone",
    "duration": "`90s`, `1h30m`",
    "list": "a JSON array: `[1, 2]`",
    "object": 'a JSON object: `{"a": 1}`',
}


def page() -> str:
    """Return the whole page."""
    whole = schema()
    parts = [HEAD]
    for title, what, path in RECORDS:
        record = whole
        for key in path:
            record = record[key]
        parts.append(f"## {title}\n\n{what}\n\n" + "\n".join(table(record)) + "\n")
    parts.append("\n".join([WHEN_HEAD, *whens(), ""]))
    parts.append("\n".join([TYPES_HEAD, *types()]))
    return "\n".join(parts) + "\n"


def table(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield a table of the record's keys."""
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    required = record.get("required", ())
    for name, held in record["properties"].items():
        key = f"**`{name}`**" if name in required else f"`{name}`"
        default = f"`{shown(held['default'])}`" if "default" in held else "–"
        yield f"| {key} | {kind(held)} | {default} | {cell(held['description'])} |"


def kind(held: Mapping[str, Any]) -> str:
    """Return a schema's type in words."""
    if "const" in held:
        return f"`{held['const']}`"
    if held.get("enum") == [*TYPES]:
        return "[type](#types)"
    if held.get("enum") == [*RULES]:
        return "[rule](#when)"
    if "enum" in held:
        return " \\| ".join(f"`{value}`" for value in held["enum"])
    if "$ref" in held:
        return f"[{held['$ref'].rpartition('/')[2]}](#{ANCHORS[held['$ref'].rpartition('/')[2]]})"
    if "oneOf" in held or "anyOf" in held:
        return " or ".join(dict.fromkeys(kind(one) for one in held.get("oneOf") or held["anyOf"]))
    match held.get("type"):
        case "string":
            return "duration" if DURATION in held.get("pattern", "") else "text"
        case "integer":
            bounds = (held.get("minimum"), held.get("maximum"))
            return "number" if None in bounds else f"number, {bounds[0]} to {bounds[1]}"
        case "number":
            return "number"
        case "boolean":
            return "`true` \\| `false`"
        case "array":
            items = held.get("items")
            return f"list of {plural(kind(items))}" if items else "list"
        case "object":
            return mapping(held)
        case list() as several:
            return " or ".join(str(one) for one in several)
        case _:
            return "any value"


ANCHORS = {
    "param": "a-param",
    "step": "a-step",
    "retry": "retries",
    "trigger": "a-trigger",
    "schedule": "a-schedule",
    "webhook": "a-webhook",
    "event": "an-event",
    "asset": "an-asset",
    "pipeline": "another-pipeline",
    "test": "a-test",
}


def mapping(held: Mapping[str, Any]) -> str:
    values = held.get("additionalProperties")
    if held.get("properties"):
        return "`{" + ", ".join(held["properties"]) + "}`"
    return f"names to {plural(kind(values))}" if isinstance(values, Mapping) else "names to values"


def plural(words: str) -> str:
    return {
        "text": "texts",
        "duration": "durations",
        "string or number or boolean": "texts, numbers or booleans",
    }.get(words, words)


def shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def cell(text: str) -> str:
    return (
        text.partition(" A duration such as")[0]
        .replace("|", "\\|")
        .replace("${{ }}", "`${{ }}`")
        .replace("${{ run.logical_date }}", "`${{ run.logical_date }}`")
    )


def whens() -> Iterator[str]:
    for rule in RULES:
        yield f"| `{rule}` | {WHEN[rule]} |"
    yield "| `{succeeded: N}` | so many have succeeded; it does not wait for the others |"


def types() -> Iterator[str]:
    for name in TYPES:
        yield f"| `{name}` | {READ_AS[name]} |"


def main(arguments: Sequence[str]) -> int:
    made = page()
    if "--check" in arguments:
        return 0 if PAGE.read_text() == made else 1
    PAGE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
