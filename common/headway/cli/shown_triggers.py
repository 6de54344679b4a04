"""The triggers of a definition as a person wants to see them, schedules with their next times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from headway.cli.printing import one_line
from headway.clock import rfc3339
from headway.expressions.durations import format_duration

NEXT_TIMES = 3


@dataclass(frozen=True, slots=True)
class ShownTrigger:
    """A canonical trigger; `next` has the next ticks of a schedule, nothing for other kinds."""

    trigger: Mapping[str, Any]
    next: tuple[datetime, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {**self.trigger, "next": [rfc3339(tick) for tick in self.next]}


def shown_triggers(canonical: Mapping[str, Any], now: datetime) -> list[ShownTrigger]:
    """Return each trigger with its next times."""
    return [ShownTrigger(each, _next(each, now)) for each in canonical.get("triggers", ())]


def _next(trigger: Mapping[str, Any], now: datetime) -> tuple[datetime, ...]:
    if trigger["kind"] != "schedule":
        return ()
    from headway.schedule import Schedule, next_ticks

    return tuple(islice(next_ticks(Schedule.of(trigger["schedule"]), now), NEXT_TIMES))


def trigger_lines(triggers: Sequence[ShownTrigger]) -> list[str]:
    """Return a line for each trigger; below a schedule, its next times as its zone shows them."""
    width = max((len(each.trigger["name"]) for each in triggers), default=0)
    lines: list[str] = []
    for each in triggers:
        words = [_WORDS[each.trigger["kind"]](each.trigger[each.trigger["kind"]])]
        if each.trigger["if"] is not None:
            words.append(f"if {one_line(each.trigger['if'], 80)}")
        lines.append(f"  {each.trigger['name']:<{width}}  {'; '.join(words)}")
        if each.trigger["kind"] == "schedule":
            lines.append(f"  {'':<{width}}  next {_times(each)}")
    return lines


def _times(shown: ShownTrigger) -> str:
    from headway.schedule import zone

    if not shown.next:
        return "never"
    tz = zone(shown.trigger["schedule"]["timezone"])
    return ", ".join(f"{tick.astimezone(tz):%a %Y-%m-%d %H:%M:%S %z}" for tick in shown.next)


def _schedule(schedule: Mapping[str, Any]) -> str:
    if schedule["every"] is not None:
        return f"every {format_duration(timedelta(seconds=schedule['every']))}"
    return f"cron {schedule['cron']} in {schedule['timezone']}"


def _webhook(webhook: Mapping[str, Any]) -> str:
    events = ", ".join(webhook["events"]) or "any event"
    return f"webhook /api/v1/hooks/{webhook['source']}/{webhook['name']}: {events}"


def _event(event: Mapping[str, Any]) -> str:
    parts = [f"{key} {event[key]}" for key in ("source", "subject") if event[key] is not None]
    return " ".join([f"event {event['type']}", *parts])


def _asset(asset: Mapping[str, Any]) -> str:
    [(how, uris)] = asset.items()
    return f"asset {uris[0]}" if len(uris) == 1 else f"{how} of the assets {', '.join(uris)}"


def _pipeline(pipeline: Mapping[str, Any]) -> str:
    return f"pipeline {pipeline['name']}: {', '.join(pipeline['on'])}"


_WORDS = {
    "schedule": _schedule,
    "webhook": _webhook,
    "event": _event,
    "asset": _asset,
    "pipeline": _pipeline,
}
