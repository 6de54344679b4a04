"""The JSON Schema of what this version reads, for editors that complete and check YAML."""

from __future__ import annotations

from typing import Any

from headway.spec import names
from headway.spec.expectation_schema import test
from headway.spec.foreach import MOST_ITEMS
from headway.spec.joining import EVERY_STEP, RULES
from headway.spec.params import TYPES
from headway.spec.schema_parts import DURATION, TEXT, URI, record, whole
from headway.spec.starting import EVERY_TEAM, OVERLAP
from headway.spec.trigger_schema import concurrency, kinds, notice, trigger

_VARIABLES = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}


_TEAM = whole(names.PIPELINE.pattern)


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a definition."""
    steps = {
        "type": "object",
        "propertyNames": {"pattern": whole(names.IDENTIFIER.pattern)},
        "additionalProperties": {"$ref": "#/$defs/step"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Headway pipeline",
        "description": "A pipeline of Headway: steps, and what runs them when.",
        **record(
            "pipeline",
            {
                "headway": {"const": 1},
                "pipeline": {"type": "string", "pattern": whole(names.PIPELINE.pattern)},
                "team": {"type": "string", "pattern": _TEAM},
                "owner": TEXT,
                "runbook": TEXT,
                "description": {"type": "string"},
                "labels": _VARIABLES,
                "code": record("code", {"path": TEXT}, ("path",)),
                "params": {"type": "object", "additionalProperties": {"$ref": "#/$defs/param"}},
                "triggers": {"type": "array", "items": {"$ref": "#/$defs/trigger"}},
                "overlap": {"enum": list(OVERLAP)},
                "concurrency": concurrency(),
                "priority": {"type": "integer", "minimum": -1000, "maximum": 1000},
                "timeout": DURATION,
                "notify": {"type": "array", "items": notice()},
                "visible_to": {"type": "array", "items": _listener()},
                "defaults": record("step", _defaults()),
                "steps": {**steps, "minProperties": 1},
                "finally": steps,
                "tests": {"type": "array", "items": {"$ref": "#/$defs/test"}},
            },
            ("headway", "pipeline", "team", "owner", "steps"),
        ),
        "$defs": {
            "param": _param(),
            "retry": _retry(),
            "step": _step(),
            "test": test(),
            "trigger": trigger(),
            **kinds(),
        },
    }


def _defaults() -> dict[str, Any]:
    return {
        "class": {"type": "string", "pattern": whole(names.RESOURCE_CLASS.pattern)},
        "timeout": DURATION,
        "queue_timeout": DURATION,
        "retry": {"$ref": "#/$defs/retry"},
        "env": _VARIABLES,
        "interpreter": TEXT,
    }


def _listener() -> dict[str, Any]:
    return {"anyOf": [{"const": EVERY_TEAM}, {"type": "string", "pattern": _TEAM}]}


def _param() -> dict[str, Any]:
    return record(
        "param",
        {
            "type": {"enum": list(TYPES)},
            "default": True,
            "enum": {"type": "array", "minItems": 1},
            "required": {"type": "boolean"},
            "description": {"type": "string"},
        },
        ("type",),
    )


def _retry() -> dict[str, Any]:
    count = {"type": "integer", "minimum": 0, "maximum": 1000}
    keys = {
        "max": count,
        "backoff": {"enum": ["exponential", "fixed"]},
        "delay": DURATION,
        "cap": DURATION,
        "jitter": {"type": "boolean"},
    }
    return {"anyOf": [count, record("retry", keys)]}


def _step() -> dict[str, Any]:
    kinds = {
        "run": TEXT,
        "python": {"type": "string", "pattern": r"^[\w.]+:[\w.]+$"},
        "http": _http(),
        "sql": record(
            "sql",
            {"url": TEXT, "query": TEXT, "params": {"type": "object"}, "to": TEXT},
            ("url", "query"),
        ),
        "wait": {
            "oneOf": [
                DURATION,
                record("wait", {"for": DURATION}, ("for",)),
                record("wait", {"until": TEXT}, ("until",)),
            ]
        },
    }
    keys = {
        "needs": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "when": {
            "anyOf": [
                {"enum": list(RULES)},
                record("when", {"succeeded": {"type": "integer", "minimum": 1}}, ("succeeded",)),
            ]
        },
        "cancels": {
            "anyOf": [
                {"const": EVERY_STEP},
                {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
            ]
        },
        "if": TEXT,
        "with": {"type": "object"},
        "outputs": {"type": "object", "additionalProperties": {"enum": list(TYPES)}},
        "artifacts": {"type": "array", "items": TEXT},
        "produces": {"type": "array", "items": URI, "uniqueItems": True},
        "inputs": {"type": "object", "additionalProperties": TEXT},
        "workdir": TEXT,
        "foreach": _items(),
        "matrix": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": whole(names.IDENTIFIER.pattern)},
            "additionalProperties": _items(),
        },
        "max_parallel": {"type": "integer", "minimum": 1, "maximum": MOST_ITEMS},
        "allow_failures": _share(0),
        "enough": _share(1),
        "allow_failure": {"type": "boolean"},
    }
    one_kind = [{"required": [kind]} for kind in kinds]
    return {**record("step", {**kinds, **keys, **_defaults()}), "oneOf": one_kind}


def _share(least: int) -> dict[str, Any]:
    """Return the schema of a number of items, or of a percentage of them."""
    percentage = {"type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]+)?%$"}
    return {"anyOf": [{"type": "integer", "minimum": least, "maximum": MOST_ITEMS}, percentage]}


def _items() -> dict[str, Any]:
    """Return the schema of a list, or of an expression that gives one."""
    listed = {"type": "array", "minItems": 1, "maxItems": MOST_ITEMS}
    return {"anyOf": [listed, {"type": "string", "pattern": r"^\s*\$\{\{"}]}


def _http() -> dict[str, Any]:
    return record(
        "http",
        {
            "method": {"enum": ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]},
            "url": TEXT,
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
            "json": True,
            "body": {"type": "string"},
            "expect": {"type": "array", "items": {"type": "integer"}},
            "timeout": DURATION,
        },
        ("url",),
    )
