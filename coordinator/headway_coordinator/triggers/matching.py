"""Which triggers hear which events, by names alone; conditions are evaluated elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headway_coordinator.triggers.keys import short


def subject_of(team: str, pipeline: str, trigger: Mapping[str, Any]) -> str:
    """Return what events for the trigger are looked up by."""
    kind = trigger["kind"]
    body = trigger[kind]
    match kind:
        case "schedule":
            return f"{team}/{pipeline}/{trigger['name']}"
        case "webhook":
            return f"{body['source']}/{body['name']}"
        case "pipeline":
            return upstream_of(team, body["name"])
        case "event":
            return short(str(body["type"]))
        case _:
            return ""


def upstream_of(team: str, name: str) -> str:
    """Return `team/pipeline` of a name that may already be so."""
    return name if "/" in name else f"{team}/{name}"


def fits(pattern: str | None, value: str | None) -> bool:
    """Say whether a value is the pattern, or begins as one that ends in `*` does."""
    if pattern is None:
        return True
    if value is None:
        return False
    return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern


def hears(trigger: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Say whether a trigger of kind `event` means this event."""
    body = trigger["event"]
    return all(fits(body.get(key), event.get(key)) for key in ("type", "source", "subject"))


def may_hear(team: str, producer: str, event: Mapping[str, Any]) -> bool:
    """Say whether a team's triggers may hear an event of the producing team."""
    allowed = event.get("visible_to") or ()
    return team == producer or team in allowed or "*" in allowed


def wants(trigger: Mapping[str, Any], event: Mapping[str, Any]) -> str | None:
    """Return why the trigger, whose subject the event has, does not mean it; None if it does."""
    match trigger["kind"]:
        case "webhook":
            names = trigger["webhook"]["events"]
            name = str(event.get("name") or event.get("type"))
            if names and not any(name == n or name.startswith(f"{n}.") for n in names):
                return f"listens to {', '.join(names)}; this is {name}"
        case "pipeline":
            ends = trigger["pipeline"]["on"]
            state = str(event.get("name"))
            if state not in ends:
                return f"listens to runs that {' or '.join(ends)}; this one {state}"
        case "event":
            if not hears(trigger, event):
                return "its type, source or subject is another one"
        case _:
            pass
    return None


def assets_of(trigger: Mapping[str, Any]) -> tuple[frozenset[str], bool]:
    """Return the assets that the trigger waits for, and whether it needs all of them."""
    body = trigger["asset"]
    if body.get("all"):
        return frozenset(body["all"]), True
    return frozenset(body.get("any") or ()), False
