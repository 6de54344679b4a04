"""The JSON Schema of what this version reads, for editors that complete and check YAML."""

from __future__ import annotations

from typing import Any

from headway.plan.model import When
from headway.spec import names
from headway.spec.descriptions import described
from headway.spec.params import TYPES

_TEXT = {"type": "string", "minLength": 1}
_DURATION = {"type": "string", "pattern": r"^(?=.)(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$"}
_VARIABLES = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a definition."""
    steps = {
        "type": "object",
        "propertyNames": {"pattern": _whole(names.IDENTIFIER.pattern)},
        "additionalProperties": {"$ref": "#/$defs/step"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Headway pipeline",
        "description": "A pipeline of Headway: steps, and what runs them when.",
        **_record(
            "pipeline",
            {
                "headway": {"const": 1},
                "pipeline": {"type": "string", "pattern": _whole(names.PIPELINE.pattern)},
                "team": {"type": "string", "pattern": _whole(names.PIPELINE.pattern)},
                "owner": _TEXT,
                "runbook": _TEXT,
                "description": {"type": "string"},
                "labels": _VARIABLES,
                "code": _record("code", {"path": _TEXT}, ("path",)),
                "params": {"type": "object", "additionalProperties": {"$ref": "#/$defs/param"}},
                "priority": {"type": "integer", "minimum": -1000, "maximum": 1000},
                "timeout": _DURATION,
                "defaults": _record("step", _defaults()),
                "steps": {**steps, "minProperties": 1},
                "finally": steps,
            },
            ("headway", "pipeline", "team", "owner", "steps"),
        ),
        "$defs": {"param": _param(), "retry": _retry(), "step": _step()},
    }


def _whole(pattern: str) -> str:
    return f"^{pattern}$"


def _record(
    name: str, properties: dict[str, Any], required: tuple[str, ...] = ()
) -> dict[str, Any]:
    keys = described(name, properties)
    record = {"type": "object", "additionalProperties": False, "properties": keys}
    return {**record, "required": list(required)} if required else record


def _defaults() -> dict[str, Any]:
    return {
        "class": {"type": "string", "pattern": _whole(names.RESOURCE_CLASS.pattern)},
        "timeout": _DURATION,
        "queue_timeout": _DURATION,
        "retry": {"$ref": "#/$defs/retry"},
        "env": _VARIABLES,
        "interpreter": _TEXT,
    }


def _param() -> dict[str, Any]:
    return _record(
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
        "delay": _DURATION,
        "cap": _DURATION,
        "jitter": {"type": "boolean"},
    }
    return {"anyOf": [count, _record("retry", keys)]}


def _step() -> dict[str, Any]:
    kinds = {
        "run": _TEXT,
        "python": {"type": "string", "pattern": r"^[\w.]+:[\w.]+$"},
        "http": _http(),
        "wait": {
            "oneOf": [
                _DURATION,
                _record("wait", {"for": _DURATION}, ("for",)),
                _record("wait", {"until": _TEXT}, ("until",)),
            ]
        },
    }
    keys = {
        "needs": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "when": {"enum": [when.value for when in When]},
        "if": _TEXT,
        "with": {"type": "object"},
        "outputs": {"type": "object", "additionalProperties": {"enum": list(TYPES)}},
        "artifacts": {"type": "array", "items": _TEXT},
        "inputs": {"type": "object", "additionalProperties": _TEXT},
        "workdir": _TEXT,
        "allow_failure": {"type": "boolean"},
    }
    one_kind = [{"required": [kind]} for kind in kinds]
    return {**_record("step", {**kinds, **keys, **_defaults()}), "oneOf": one_kind}


def _http() -> dict[str, Any]:
    return _record(
        "http",
        {
            "method": {"enum": ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]},
            "url": _TEXT,
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
            "json": True,
            "body": {"type": "string"},
            "expect": {"type": "array", "items": {"type": "integer"}},
            "timeout": _DURATION,
        },
        ("url",),
    )
