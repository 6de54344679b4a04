"""A leader that decides on events, and pipelines with triggers, in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from headway.clock import ManualClock, rfc3339
from headway.expressions import evaluate
from headway.plan.digest import digest_of
from headway.spec import load
from headway_coordinator.application.conditions import Conditions
from headway_coordinator.application.deciding import Decider, DecidingReport
from headway_coordinator.application.ports import InboxEntry
from headway_coordinator.application.receiving import kept_form
from headway_coordinator.application.scheduling import Scheduler
from headway_coordinator.application.trigger_ports import NewEvent
from headway_coordinator.triggers.event import Event
from tests.contract.world import TEAM, World

NOW = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
_TRIGGER: Mapping[str, Any] = {
    "if": None,
    "params": {},
    "dedupe": None,
    "debounce": None,
    "batch": None,
}


def trigger(kind: str, name: str | None = None, **keys: Any) -> dict[str, Any]:
    """Return a canonical trigger; its kind's own keys are given under the kind's name."""
    return {**_TRIGGER, "name": name or kind, "kind": kind, **keys}


def event_trigger(pattern: str = "com.example.*", **keys: Any) -> dict[str, Any]:
    return trigger("event", event={"type": pattern, "source": None, "subject": None}, **keys)


def schedule_trigger(**keys: Any) -> dict[str, Any]:
    schedule = {
        "cron": None, "every": None, "timezone": "UTC", "jitter": 0, "start": None, "end": None,
        "missed": "latest",
    }  # fmt: skip
    return trigger("schedule", schedule={**schedule, **keys})


def wild(length: int) -> str:
    """Return a text that takes four bytes a character, and that no database can compress."""
    chosen = Random(1)
    return "".join(chr(chosen.randrange(0x20000, 0x2A000)) for _ in range(length))


class InProcess:
    """An `Evaluator` without the child process."""

    def evaluate(self, source: str, context: Mapping[str, Any]) -> Any:
        return evaluate(source, context)


class Deciders:
    """A world in which events come and are decided on."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.storage = world.storage
        self.clock = ManualClock(NOW)
        self.decider = Decider(self.storage, Conditions(InProcess()), self.clock)
        self.scheduler = Scheduler(self.storage, self.clock)
        self._number = 0

    def define(
        self, *triggers: Mapping[str, Any], pipeline: str = "daily", team: str = TEAM, **keys: Any
    ) -> None:
        """Store a pipeline with a param `file` and these triggers as its newest version."""
        text = (
            f"headway: 1\npipeline: {pipeline}\nteam: {team}\nowner: ann@example.com\n"
            'params: {file: {type: string, default: ""}}\nsteps: {load: {run: "true"}}\n'
        )
        spec = load(text, "pipeline.yaml").spec
        assert spec is not None
        canonical = {**spec.canonical, "triggers": list(triggers), **keys}
        self.storage.definitions.put(
            canonical=canonical, digest=digest_of(canonical), source=text, actor="ann"
        )

    def event(self, type: str = "com.example.file", **keys: Any) -> Event:
        self._number += 1
        given = {
            "id": f"e{self._number}",
            "source": "/test",
            "subject": None,
            "time": NOW,
            "data": {},
            "name": type,
            **keys,
        }
        return Event(type=type, **given)

    def send(self, *events: Event, team: str = TEAM) -> list[str]:
        """Keep events as CloudEvents of a team; return their ids."""
        new = []
        for event in events:
            self._number += 1
            id = f"ev{self._number:04}"
            key = f"ce:{team}:{event.source}:{event.id}"
            form = kept_form(event, NOW)
            new.append(NewEvent(id, team, "cloudevent", event.type, key, "ann", form))
        return [id for id, _ in self.storage.events.add(new)]

    def decide(self) -> DecidingReport:
        return self.decider.decide(self.world.lease)

    def outcomes(self, event: str) -> list[tuple[str, str, str | None]]:
        """Return (trigger, outcome, reason) of an event's decisions."""
        made = self.storage.events.decisions(event)
        return [(d["trigger"], d["outcome"], d["reason"]) for d in made]

    def runs(self) -> list[InboxEntry]:
        return [entry for entry in self.storage.inbox.pending() if entry.kind == "run"]

    def params(self) -> list[Any]:
        return [entry.body["params"]["file"] for entry in self.runs()]

    def ago(self, length: timedelta) -> str:
        return rfc3339(self.storage.sweeps.database_now() - length)
