"""The leader's work on events: each undecided one meets the triggers that may mean it.

Everything is evaluated outside any transaction; one fenced transaction writes the decisions, the
runs that follow and the mark that the events are decided. A run and its decision exist together or
not at all, so that an event starts exactly one run a trigger, however often it is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from headway import ids
from headway.clock import Clock
from headway.errors import DefinitionError, HeadwayError
from headway.expressions import ExpressionError
from headway_coordinator.application.conditions import Conditions, seen_event, seen_run
from headway_coordinator.application.intake import RunRequest, run_body
from headway_coordinator.application.ports import (
    Lease,
    PreconditionFailed,
    Storage,
    StoredDefinition,
)
from headway_coordinator.application.trigger_ports import (
    Decision,
    Gathered,
    StoredEvent,
    TriggerRow,
    WantedRun,
)
from headway_coordinator.triggers import gathering, matching
from headway_coordinator.triggers.keys import short

log = structlog.get_logger("headway.triggers")

BATCH_LIMIT = 200
DEEPEST = 25  # pipelines started by each other in a row; beyond that it is a circle
LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class DecidingReport:
    """What a tick did."""

    events: int = 0
    runs: int = 0


class Decider:
    """Decides while it holds the lease; one thread calls it."""

    def __init__(
        self,
        storage: Storage,
        conditions: Conditions,
        clock: Clock,
        decided: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        """`decided` is told the outcome of each decision, once it is written."""
        self._tell = decided
        self._storage = storage
        self._conditions = conditions
        self._clock = clock
        self._definitions: dict[tuple[str, str], StoredDefinition | None] = {}

    def decide(self, lease: Lease) -> DecidingReport:
        """Decide a page of undecided events.

        Raises:
            LeaseLost: this hold is over; nothing was written.
            StorageUnavailable: nothing is known to be written.
        """
        events = self._storage.events.undecided(BATCH_LIMIT)
        if not events:
            return DecidingReport()
        self._definitions.clear()
        decisions, runs = self._judged(events)
        try:
            with self._storage.deciding(lease) as transaction:
                transaction.decide([event.id for event in events], decisions)
                transaction.start(runs)
        except PreconditionFailed as error:  # another leader was faster; what is left comes again
            log.info("events_decided_elsewhere", reason=error.message)
            return DecidingReport(events=len(events))
        for decision in decisions:
            self._tell(decision.outcome)
            log.info(
                "event_decided",
                upstream=decision.event,
                trigger="/".join(decision.key),
                outcome=decision.outcome,
                reason=decision.reason,
                run=decision.run,
            )
        return DecidingReport(len(events), len(runs))

    # --- gathering -------------------------------------------------------------------------------

    def fire(self, lease: Lease) -> tuple[DecidingReport, datetime | None]:
        """Start the runs of what was gathered long enough; return when to look again."""
        gathered = self._storage.events.gathered()
        if not gathered:
            return DecidingReport(), None
        self._definitions.clear()
        now = self._storage.sweeps.database_now()
        rows = {row.key: row for row in self._gathering({g.key for g in gathered})}
        started, again = 0, None
        for each in gathered:
            due = self._due(rows.get(each.key), each, now)
            if due is None:
                continue
            if due <= now:
                started += self._fire(lease, rows.get(each.key), each)
            elif again is None or due < again:
                again = due
        return DecidingReport(runs=started), again

    def _gathering(self, keys: Iterable[tuple[str, str, str]]) -> Iterable[TriggerRow]:
        for team, pipeline in sorted({key[:2] for key in keys}):
            yield from self._storage.triggers.of_pipeline(team, pipeline)

    def _due(self, row: TriggerRow | None, each: Gathered, now: datetime) -> datetime | None:
        if row is None:
            return now  # the trigger is gone: its events must not wait for ever
        if row.paused_at is not None:
            return None
        due = gathering.fires_at(
            row.body, count=each.count, first_at=each.first_at, last_at=each.last_at
        )
        wanted, every = self._assets(row)
        if every:
            complete = wanted <= self._storage.events.subjects_waiting(row.key)
            return (due or now) if complete else None
        return due or now

    def _assets(self, row: TriggerRow) -> tuple[frozenset[str], bool]:
        return matching.assets_of(row.body) if row.kind == "asset" else (frozenset(), False)

    def _fire(self, lease: Lease, row: TriggerRow | None, each: Gathered) -> int:
        limit = gathering.DEBOUNCE_LIMIT if row is None else gathering.size_limit(row.body)
        events = self._storage.events.waiting(each.key, limit)
        if not events:
            return 0
        decision, run = self._started(row, each.key, events)
        try:
            with self._storage.deciding(lease) as transaction:
                transaction.settle(each.key, [e.id for e in events], decision)
                transaction.start([] if run is None else [run])
        except PreconditionFailed as error:
            log.info("events_gathered_elsewhere", reason=error.message)
            return 0
        self._tell(decision.outcome)
        return 0 if run is None else 1

    def _started(
        self, row: TriggerRow | None, key: tuple[str, str, str], events: Sequence[StoredEvent]
    ) -> tuple[Decision, WantedRun | None]:
        last = events[-1]
        if row is None:
            reason = "the trigger was taken out of the definition while it waited"
            return Decision(last.id, *key, "refused", reason), None
        decision, run = self._run(row, last, events)
        if run is not None:
            run = replace(run, dedupe=f"gather:{events[0].id}:{'/'.join(key)}")
        return decision, run

    # --- judging ---------------------------------------------------------------------------------

    def _judged(self, events: Sequence[StoredEvent]) -> tuple[list[Decision], list[WantedRun]]:
        decisions: list[Decision] = []
        runs: list[WantedRun] = []
        candidates = _Candidates(self._storage)
        passed: list[tuple[StoredEvent, TriggerRow, str | None]] = []
        for event in events:
            for row in candidates.of(event):
                verdict = self._verdict(row, event)
                if isinstance(verdict, Decision):
                    decisions.append(verdict)
                else:
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

    def _answered(
        self, row: TriggerRow, event: StoredEvent, key: str | None
    ) -> tuple[Decision, WantedRun | None]:
        if gathering.gathers(row.body):
            return _decided(event, row, "waiting", "gathers more events", dedupe_key=key), None
        decision, run = self._run(row, event, ())
        return replace(decision, dedupe_key=key), run

    def _verdict(self, row: TriggerRow, event: StoredEvent) -> Decision | tuple[str | None]:
        """Return why there is no run, or the key that tells doubles from new ones."""
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
        try:
            params = self._conditions.resolved(
                dict(row.body.get("params") or {}), seen, self._run_seen(row, event)
            )
            wanted = RunRequest(
                row.pipeline, row.team, params, logical_date=logical_date, origin=origin
            )
            body = run_body(definition, wanted, run, logical_date)
        except ExpressionError as error:
            return _decided(event, row, "refused", f"params: {error}"), None
        except DefinitionError as error:
            told = "; ".join(p.message for p in error.problems[:3]) or error.message
            return _decided(event, row, "refused", f"params: {told}"), None
        except (HeadwayError, ValueError, TypeError, KeyError) as error:
            log.error("event_unexpected", event=event.id, trigger=row.key, error=repr(error))
            return _decided(event, row, "refused", f"params: {error}"), None
        dedupe = f"event:{event.id}:{'/'.join(row.key)}"
        actor = event.actor if event.event.get("replay_of") else f"trigger:{row.name}"
        return _decided(event, row, "matched", None, run=run), WantedRun(run, dedupe, actor, body)

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


class _Candidates:
    """The triggers that may mean an event; each kind's are read once a batch."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._known: dict[tuple[str, str], list[TriggerRow]] = {}

    def of(self, event: StoredEvent) -> list[TriggerRow]:
        match event.origin:
            case "cloudevent" | "broker":
                rows = self._all("event", event.team)
                return [row for row in rows if matching.hears(row.body, event.event)]
            case "asset":
                rows = self._all("asset", None)
                return [row for row in rows if event.subject in matching.assets_of(row.body)[0]]
            case "webhook":
                # A hook's address may be that of several teams: each has an event of its own.
                heard = self._listening("webhook", event.subject)
                return [row for row in heard if row.team == event.team]
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


def _decided(
    event: StoredEvent,
    row: TriggerRow,
    outcome: Any,
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
