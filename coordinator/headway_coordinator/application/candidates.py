"""Which triggers may mean an event, by what they are looked up by, and which of them do."""

from __future__ import annotations

from headway_coordinator.application.ports import Storage
from headway_coordinator.application.trigger_ports import StoredEvent, TriggerRow
from headway_coordinator.triggers import matching


class Candidates:
    """The triggers that may mean an event; each kind's are read once a batch."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._known: dict[tuple[str, str], list[TriggerRow]] = {}

    def of(self, event: StoredEvent) -> list[TriggerRow]:
        match event.origin:
            case "cloudevent" | "broker":
                return self._all("event", event.team)
            case "asset":
                return self._all("asset", None)
            case _:
                return self._listening(event.origin, event.subject)

    def _all(self, kind: str, team: str | None) -> list[TriggerRow]:
        key = kind, team or "*"
        if key not in self._known:
            self._known[key] = self._storage.triggers.of_kind(kind, team)
        return self._known[key]

    def _listening(self, kind: str, subject: str) -> list[TriggerRow]:
        if (kind, subject) not in self._known:
            self._known[kind, subject] = self._storage.triggers.listening(kind, subject)
        return self._known[kind, subject]


def means(row: TriggerRow, event: StoredEvent) -> bool:
    """Say whether a candidate means the event; one that does not is none of its deciders."""
    match event.origin:
        case "cloudevent" | "broker":
            return matching.hears(row.body, event.event)
        case "asset":
            return event.subject in matching.assets_of(row.body)[0]
        case "webhook":
            # A hook's address may be that of several teams: each has an event of its own.
            return row.team == event.team
        case _:
            return True
