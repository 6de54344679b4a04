"""How what happened is written down in a transcript: short, and the same every time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Protocol

# What is logged beside these is told better by the audit or is about durations.
_TOLD = {
    "batch_rolled_back": "reason",
    "broker_data_gone": "losses",
    "campaign_failed": "reason",
    "database_unavailable": "reason",
    "died": "",
    "dispatched_again": "count",
    "duty_failed": "error",
    "events_refused": "run reason count",
    "fenced": "reason",
    "leadership_gained": "epoch",
    "leadership_lost": "reason",
    "leading": "epoch open_runs",
    "lease_not_released": "reason",
    "memory_dropped": "runs",
    "renewal_failed": "reason",
    "run_poisoned": "run reason",
    "run_quarantined": "run reason",
    "run_refused": "run error",
    "run_unreadable": "run error",
}


class Names(Protocol):
    def name(self, attempt: str) -> str: ...


def log_line(entry: MutableMapping[str, Any]) -> str | None:
    """Return a log entry as `event field=value…`, None if the transcript leaves it out."""
    event = entry["event"]
    if event == "event_ignored":
        return f"{entry['run']}: {entry['type']} ignored: {entry['why']}"
    if event not in _TOLD:
        return None
    fields = [f"{name}={entry[name]}" for name in _TOLD[event].split() if name in entry]
    return " ".join([event.replace("_", " "), *fields])


def audit_line(row: Mapping[str, Any], names: Names) -> str:
    """Return one transaction's transitions of a run; those of one thing stand as one chain."""
    parts = list(_chains(json.loads(row["transitions"]), names.name))
    actor = "" if row["actor"] == "coordinator" else f" ({row['actor']})"
    return f"{row['run']}{actor}: {'; '.join(parts)}"


def _chains(transitions: list[dict[str, Any]], name: Callable[[str], str]) -> Iterator[str]:
    chains: dict[str, str] = {}
    for move in transitions:
        match move["entity"]:
            case "request":
                ignored = f", ignored: {move['ignored']}" if "ignored" in move else ""
                yield f"{move['asked']} of {move['actor']}{ignored}"
                continue
            case "run":
                subject = "run"
            case "attempt":
                subject = name(move["id"]).partition("/")[2]
            case _:
                subject = move["id"]
        if subject not in chains:
            chains[subject] = move.get("from", "")
        reason = f" ({move['reason']})" if move.get("reason") else ""
        chains[subject] += f"→{move['to']}{reason}"
    for subject, chain in chains.items():
        yield f"{subject} {chain.lstrip('→')}"
