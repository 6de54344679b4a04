"""The JSON Schema of triggers, and of what else is about the starts and ends of runs."""

from __future__ import annotations

from typing import Any

from headway.spec import names
from headway.spec.schedules import MISSED
from headway.spec.schema_parts import DURATION, TEXT, URI, record, whole
from headway.spec.starting import OUTCOMES
from headway.spec.trigger_kinds import ENDS, SOURCES
from headway.spec.triggers import MAX_BATCH

_NAME = {"type": "string", "pattern": whole(names.PIPELINE.pattern)}
_UPSTREAM = {
    "type": "string",
    "pattern": whole(f"({names.PIPELINE.pattern}/)?{names.PIPELINE.pattern}"),
}
_SECRET = {"type": "string", "pattern": "^secret://[a-z][a-z0-9_-]{0,62}$"}
_TEMPLATE = {"type": "string", "pattern": r"\$\{\{"}
_PATTERN = {"type": "string", "pattern": r"^[^*]*\*?$", "minLength": 1}
_EVENT = {"type": "string", "pattern": r"^[^\s*]+$", "maxLength": 200}


def trigger() -> dict[str, Any]:
    """Return the schema of one trigger; the kinds are definitions of their own."""
    keys = {
        "name": _NAME,
        **{kind: {"$ref": f"#/$defs/{kind}"} for kind in kinds()},
        "if": TEXT,
        "params": {"type": "object"},
        "dedupe": record("dedupe", {"key": _TEMPLATE, "window": DURATION}, ("key",)),
        "debounce": DURATION,
        "batch": record(
            "batch",
            {"size": {"type": "integer", "minimum": 1, "maximum": MAX_BATCH}, "within": DURATION},
            ("size", "within"),
        ),
    }
    return {**record("trigger", keys), "oneOf": [{"required": [kind]} for kind in kinds()]}


def kinds() -> dict[str, Any]:
    """Return the schema of each kind of trigger, by name."""
    return {
        "schedule": _schedule(),
        "webhook": record(
            "webhook",
            {
                "source": {"enum": list(SOURCES)},
                "name": _NAME,
                "event": _one_or_more(_EVENT),
                "secret": _one_or_more(_SECRET),
            },
            ("source", "secret"),
        ),
        "event": record(
            "event", {"type": _PATTERN, "source": TEXT, "subject": _PATTERN}, ("type",)
        ),
        "asset": _asset(),
        "pipeline": record(
            "of_pipeline", {"name": _UPSTREAM, "on": _one_or_more({"enum": list(ENDS)})}, ("name",)
        ),
    }


def concurrency() -> dict[str, Any]:
    """Return the schema of `concurrency`."""
    limit = {"type": "integer", "minimum": 1, "maximum": 1_000_000}
    return record("concurrency", {"key": _TEMPLATE, "limit": limit}, ("limit",))


def notice() -> dict[str, Any]:
    """Return the schema of one entry of `notify`."""
    address = {"anyOf": [_SECRET, {"type": "string", "pattern": "^https?://[^/]"}]}
    on = _one_or_more({"enum": list(OUTCOMES)})
    return record("notice", {"on": on, "webhook": address}, ("on", "webhook"))


def _schedule() -> dict[str, Any]:
    keys = {
        "cron": TEXT,
        "every": DURATION,
        "timezone": TEXT,
        "jitter": DURATION,
        "start": TEXT,
        "end": TEXT,
        "missed": {"enum": list(MISSED)},
    }
    either = [{"required": ["cron"]}, {"required": ["every"]}]
    return {**record("schedule", keys), "oneOf": either}


def _asset() -> dict[str, Any]:
    several = {"type": "array", "items": URI, "minItems": 1, "uniqueItems": True}
    made = record("asset", {"uri": URI, "any": several, "all": several})
    return {**made, "oneOf": [{"required": [key]} for key in ("uri", "any", "all")]}


def _one_or_more(held: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [held, {"type": "array", "items": held, "minItems": 1}]}
