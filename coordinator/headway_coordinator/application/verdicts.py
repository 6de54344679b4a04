"""What each trigger makes of an event: a run, or why there is none; nothing is written here.

What fails for one event and one trigger is that trigger's refusal, and stops no other: a definition
may be one of a newer version, and an event anything that its sender made of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from headway import ids
from headway.clock import Clock
from headway.errors import DefectError, DefinitionError, HeadwayError
from headway.expressions import ExpressionError
from headway_coordinator.application.candidates import Candidates, means
from headway_coordinator.application.conditions import Conditions, seen_event, seen_run
from headway_coordinator.application.intake import RunRequest, run_body
from headway_coordinator.application.ports import PreconditionFailed, Storage, StoredDefinition
from headway_coordinator.application.trigger_ports import (
    Decision,
    Outcome,
    StoredEvent,
    TriggerRow,
    WantedRun,
)
from headway_coordinator.triggers import gathering, matching
from headway_coordinator.triggers.keys import short

log = structlog.get_logger("headway.triggers")

DEEPEST = 25  # pipelines started by each other in a row; beyond that it is a circle
LONGEST_REASON = 500


class Judge:
    """Judges events; one thread calls it. `forget` what is remembered between two turns."""

    def __init__(self, storage: Storage, conditions: Conditions, clock: Clock) -> None:
        self._storage = storage
        self._conditions = conditions
        self._clock = clock
        self._definitions: dict[tuple[str, str], StoredDefinition | None] = {}

    def forget(self) -> None:
        self._definitions.clear()

    def judged(self, events: Sequence[StoredEvent]) -> tuple[list[Decision], list[WantedRun]]:
        """Return the decision of every trigger that means one of the events, and the runs."""
        decisions: list[Decision] = []
        runs: list[WantedRun] = []
        candidates = Candidates(self._storage)
        passed: list[tuple[StoredEvent, TriggerRow, str | None]] = []
        for event in events:
            for row in candidates.of(event):
                verdict = self._verdict(row, event)
                if isinstance(verdict, Decision):
                    decisions.append(verdict)
                elif verdict is not None:
                    passed.append((event, row, verdict[0]))
        seen = self._earlier(passed)
        for event, row, key in passed:
            twin = _twin(seen, row, key, event)
            if twin is not None:
                reason = f"the same `dedupe` key as {twin}"
                decisions.append(_decided(event, row, "duplicate", reason, dedupe_key=key))
                continue
            decision, run = self._answered(row, event, key)
            decisions.append(decision)
            if run is not None:
                runs.append(run)
            if key is not None and decision.outcome in ("matched", "waiting"):
                by = f"event {event.id}" if decision.run is None else f"run {decision.run}"
                seen.setdefault((*row.key, key), []).append((event.received_at, by))
        return decisions, runs

    def started(
        self, row: TriggerRow | None, key: tuple[str, str, str], events: Sequence[StoredEvent]
    ) -> tuple[Decision, WantedRun | None]:
        """Return the decision on events that a trigger has gathered, and their run."""
        last = events[-1]
        if row is None:
            reason = "the trigger was taken out of the definition while it waited"
            return Decision(last.id, *key, "refused", reason), None
        decision, run = self._run(row, last, events)
        if run is not None:
            run = replace(run, dedupe=f"gather:{events[0].id}:{'/'.join(key)}")
        return decision, run

    def _answered(
        self, row: TriggerRow, event: StoredEvent, key: str | None
    ) -> tuple[Decision, WantedRun | None]:
        if gathering.gathers(row.body):
            return _decided(event, row, "waiting", "gathers more events", dedupe_key=key), None
        decision, run = self._run(row, event, ())
        return replace(decision, dedupe_key=key), run

    def _verdict(self, row: TriggerRow, event: StoredEvent) -> Decision | tuple[str | None] | None:
        """Return why there is no run, or the key that tells doubles from new ones; None if the
        trigger does not mean the event."""
        try:
            if not means(row, event):
                return None
            return self._unwanted(row, event) or self._wanted(row, event)
        except Exception as error:  # the trigger's or the event's, and nobody else's
            reason = unexpected(error)
            log.error(
                "event_unexpected", upstream=event.id, trigger="/".join(row.key), error=repr(error)
            )
            return _decided(event, row, "refused", reason)

    def _unwanted(self, row: TriggerRow, event: StoredEvent) -> Decision | None:
        """Return why there is no run, as far as that can be told without its expressions."""
        if row.paused_at is not None:
            return _decided(event, row, "filtered", f"the trigger was paused by {row.paused_by}")
        if not matching.may_hear(row.team, event.team, event.event):
            reason = f"team {event.team} does not let team {row.team} listen: visible_to"
            return _decided(event, row, "refused", reason)
        unwanted = matching.wants(row.body, event.event)
        if unwanted is not None:
            return _decided(event, row, "filtered", unwanted)
        depth = int(event.event.get("depth") or 0)
        if depth > DEEPEST:
            reason = f"{depth} pipelines have started each other in a row; is it a circle?"
            return _decided(event, row, "refused", reason)
        return None

    def _wanted(self, row: TriggerRow, event: StoredEvent) -> Decision | tuple[str | None]:
        seen, run = seen_event(event.event), self._run_seen(row, event)
        condition = row.body.get("if")
        dedupe = row.body.get("dedupe")
        part = "if"
        try:
            if condition is not None and not self._conditions.holds(condition, seen, run):
                return _decided(event, row, "filtered", f"`if: {condition}` is false")
            part = "dedupe.key"
            key = None if dedupe is None else self._key(dedupe["key"], seen, run)
        except ExpressionError as error:
            return _decided(event, row, "refused", f"{part}: {error}")
        _window(row)  # what is no window is found out here, and not among all the others'
        return (key,)

    def _key(self, template: str, seen: Mapping[str, Any], run: Mapping[str, Any]) -> str:
        value = self._conditions.resolved(template, seen, run)
        return short(value if isinstance(value, str) else repr(value))

    def _run_seen(self, row: TriggerRow, event: StoredEvent) -> dict[str, Any]:
        interval = event.event.get("data") if event.origin == "schedule" else None
        return seen_run(row.team, row.pipeline, _logical_date(event), interval)

    def _run(
        self, row: TriggerRow, event: StoredEvent, batch: Sequence[StoredEvent]
    ) -> tuple[Decision, WantedRun | None]:
        """Return the decision with its run, or why the run cannot be."""
        definition = self._definition(row)
        if definition is None:
            return _decided(event, row, "refused", "the pipeline is gone"), None
        try:
            wanted = self._wanted_run(definition, row, event, batch)
        except ExpressionError as error:
            return _decided(event, row, "refused", f"params: {error}"), None
        except DefinitionError as error:
            told = "; ".join(p.message for p in error.problems[:3]) or error.message
            return _decided(event, row, "refused", f"params: {told}"), None
        except Exception as error:
            log.error(
                "event_unexpected", upstream=event.id, trigger="/".join(row.key), error=repr(error)
            )
            return _decided(event, row, "refused", f"params: {unexpected(error)}"), None
        return _decided(event, row, "matched", None, run=wanted.run), wanted

    def _wanted_run(
        self,
        definition: StoredDefinition,
        row: TriggerRow,
        event: StoredEvent,
        batch: Sequence[StoredEvent],
    ) -> WantedRun:
        run = ids.new_id(self._clock)
        seen = seen_event(event.event, [each.event for each in batch])
        logical_date = _logical_date(event)
        origin: dict[str, Any] = {"trigger": row.name, "kind": row.kind, "event": event.id}
        if batch:
            origin["events"] = len(batch)
        if depth := event.event.get("depth"):
            origin["depth"] = depth
        if event.origin == "schedule":
            data = event.event["data"]
            origin |= {k: data[k] for k in ("data_interval_start", "data_interval_end")}
        params = self._conditions.resolved(
            dict(row.body.get("params") or {}), seen, self._run_seen(row, event)
        )
        wanted = RunRequest(
            row.pipeline, row.team, params, logical_date=logical_date, origin=origin
        )
        body = run_body(definition, wanted, run, logical_date)
        dedupe = f"event:{event.id}:{'/'.join(row.key)}"
        actor = event.actor if event.event.get("replay_of") else f"trigger:{row.name}"
        return WantedRun(run, dedupe, actor, body)

    def _definition(self, row: TriggerRow) -> StoredDefinition | None:
        place = row.team, row.pipeline
        if place not in self._definitions:
            found = self._storage.definitions.current(row.pipeline, row.team)
            self._definitions[place] = found[0] if found else None
        return self._definitions[place]

    def _earlier(
        self, passed: Sequence[tuple[StoredEvent, TriggerRow, str | None]]
    ) -> dict[tuple[str, str, str, str], list[tuple[datetime, str]]]:
        keys = {(*row.key, key) for _, row, key in passed if key is not None}
        if not keys:
            return {}
        longest = max(_window(row) for _, row, key in passed if key is not None)
        since = min(event.received_at for event, _, _ in passed) - longest
        seen: dict[tuple[str, str, str, str], list[tuple[datetime, str]]] = {}
        for one in self._storage.events.earlier(keys, since):
            by = "one that is gathering still" if one.run is None else f"run {one.run}"
            place = (one.team, one.pipeline, one.trigger, one.dedupe_key)
            seen.setdefault(place, []).append((one.received_at, by))
        return seen


def unexpected(error: Exception) -> str:
    """Return what may be said of an error that nobody foresaw; the log says the rest."""
    if isinstance(error, HeadwayError) and not isinstance(error, (DefectError, PreconditionFailed)):
        return error.message
    return f"an unexpected {type(error).__name__}; the coordinator's log says more"


def _decided(
    event: StoredEvent,
    row: TriggerRow,
    outcome: Outcome,
    reason: str | None,
    *,
    run: str | None = None,
    dedupe_key: str | None = None,
) -> Decision:
    short = None if reason is None else reason[:LONGEST_REASON]
    return Decision(event.id, *row.key, outcome, short, run, dedupe_key)


def _twin(
    seen: Mapping[tuple[str, str, str, str], Sequence[tuple[datetime, str]]],
    row: TriggerRow,
    key: str | None,
    event: StoredEvent,
) -> str | None:
    """Return what an earlier event with the same key within the window became."""
    if key is None:
        return None
    for received_at, by in seen.get((*row.key, key), ()):
        if abs(event.received_at - received_at) < _window(row):
            return by
    return None


def _window(row: TriggerRow) -> timedelta:
    return timedelta(seconds=(row.body.get("dedupe") or {}).get("window") or 0)


def _logical_date(event: StoredEvent) -> datetime:
    if event.origin == "schedule":
        return datetime.fromisoformat(event.event["data"]["logical_date"])
    return event.received_at
