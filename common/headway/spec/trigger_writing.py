"""Canonical triggers as people write them: defaults left out, durations with their units. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from headway.expressions.durations import format_duration
from headway.spec.triggers import DEDUPE_WINDOW_SECONDS, default_names

_SECONDS = frozenset({"every", "jitter", "window", "debounce", "within"})
_DEFAULTS: dict[str, Any] = {
    "timezone": "UTC",
    "jitter": 0.0,
    "missed": "latest",
    "events": [],
    "on": ["succeeded"],
    "window": DEDUPE_WINDOW_SECONDS,
    "params": {},
}
# What may stand as one value where there is one.
_LISTS = {"events": "event", "secret": "secret", "on": "on"}


def written_triggers(canonical: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the triggers of a canonical definition as they stand in YAML."""
    triggers = canonical["triggers"]
    kinds, named = ([trigger[key] for trigger in triggers] for key in ("kind", "name"))
    given = _needed(kinds, named)
    pipeline = canonical["pipeline"]
    return [_trigger(t, name, pipeline) for t, name in zip(triggers, given, strict=True)]


def _needed(kinds: list[str], named: list[str]) -> list[str | None]:
    """Return the names without those that the reader gives by itself; None stands for these."""
    given: list[str | None] = [None] * len(named)
    while (read := default_names(kinds, given)) != named:
        first = next(i for i, name in enumerate(named) if read[i] != name)
        given[first] = named[first]
    return given


def _trigger(trigger: Mapping[str, Any], name: str | None, pipeline: str) -> dict[str, Any]:
    kind = trigger["kind"]
    made: dict[str, Any] = {} if name is None else {"name": name}
    made[kind] = _asset(trigger[kind]) if kind == "asset" else _said(trigger[kind])
    if kind == "webhook" and made[kind]["name"] == pipeline:
        del made[kind]["name"]
    for key in ("if", "params", "dedupe", "debounce", "batch"):
        if trigger[key] is not None and trigger[key] != _DEFAULTS.get(key):
            value = trigger[key]
            made[key] = _said(value) if key in ("dedupe", "batch") else _value(key, value)
    return made


def _asset(asset: Mapping[str, Any]) -> dict[str, Any]:
    if len(asset.get("any", ())) == 1:
        return {"uri": asset["any"][0]}
    return dict(asset)


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        _LISTS.get(key, key): _value(key, value)
        for key, value in values.items()
        if value is not None and _DEFAULTS.get(key) != value
    }


def _value(key: str, value: Any) -> Any:
    if key in _SECONDS:
        return format_duration(timedelta(seconds=value))
    return value[0] if key in _LISTS and len(value) == 1 else value
