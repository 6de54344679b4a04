"""The leader's work on events: each undecided one meets the triggers that may mean it.

Everything is evaluated outside any transaction; one fenced transaction writes the decisions, the
runs that follow and the mark that the events are decided. A run and its decision exist together or
not at all, so that an event starts exactly one run a trigger, however often it is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from headway.clock import Clock
from headway_coordinator.application.conditions import Conditions
from headway_coordinator.application.ports import (
    Lease,
    LeaseLost,
    PreconditionFailed,
    Storage,
    StorageUnavailable,
)
from headway_coordinator.application.trigger_ports import (
    Decision,
    Gathered,
    StoredEvent,
    TriggerRow,
)
from headway_coordinator.application.verdicts import LONGEST_REASON, Judge, unexpected
from headway_coordinator.triggers import gathering, matching

log = structlog.get_logger("headway.triggers")

BATCH_LIMIT = 200


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
        self._judge = Judge(storage, conditions, clock)

    def decide(self, lease: Lease) -> DecidingReport:
        """Decide a page of undecided events.

        Raises:
            LeaseLost: this hold is over; nothing was written.
            StorageUnavailable: nothing is known to be written.
        """
        events = self._storage.events.undecided(BATCH_LIMIT)
        if not events:
            return DecidingReport()
        self._judge.forget()
        try:
            return self._try(lease, events)
        except (LeaseLost, StorageUnavailable):
            raise
        except Exception as error:  # whatever one event provokes must not stop the others
            log.warning("events_rolled_back", reason=_reason(error), events=len(events))
        runs = sum(self._alone(lease, event) for event in events)
        return DecidingReport(len(events), runs)

    def _try(self, lease: Lease, events: Sequence[StoredEvent]) -> DecidingReport:
        decisions, runs = self._judge.judged(events)
        with self._storage.deciding(lease) as transaction:
            transaction.decide([event.id for event in events], decisions)
            transaction.start(runs)
        self._told(decisions)
        return DecidingReport(len(events), len(runs))

    def _alone(self, lease: Lease, event: StoredEvent) -> int:
        """Decide one event of a page that failed; return how many runs it starts."""
        try:
            return self._try(lease, [event]).runs
        except (LeaseLost, StorageUnavailable):
            raise
        except Exception as error:
            self._set_aside(lease, event, error)
        return 0

    def _set_aside(self, lease: Lease, event: StoredEvent, error: Exception) -> None:
        """Decide an event whose decisions cannot be written: refused, or else by nobody.

        If others decided it meanwhile, the condition on its being undecided fails here too.
        """
        for decisions in (self._refused(event, error), []):
            try:
                with self._storage.deciding(lease) as transaction:
                    transaction.decide([event.id], decisions)
            except (LeaseLost, StorageUnavailable):
                raise
            except Exception as failed:
                problem = _reason(failed)
                continue
            log.error("event_poisoned", upstream=event.id, reason=_reason(error))
            self._told(decisions)
            return
        log.warning("event_not_decided", upstream=event.id, reason=problem)

    def _refused(self, event: StoredEvent, error: Exception) -> list[Decision]:
        """Return refusals in the place of what would have started something."""
        try:
            decisions, _ = self._judge.judged([event])
        except (LeaseLost, StorageUnavailable):
            raise
        except Exception:  # which triggers it means is what cannot be told
            return []
        reason = f"it could not be written: {unexpected(error)}"
        return [
            Decision(event.id, *made.key, "refused", reason[:LONGEST_REASON])
            if made.outcome in ("matched", "waiting")
            else made
            for made in decisions
        ]

    def _told(self, decisions: Iterable[Decision]) -> None:
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

    # --- gathering -------------------------------------------------------------------------------

    def fire(self, lease: Lease) -> tuple[DecidingReport, datetime | None]:
        """Start the runs of what was gathered long enough; return when to look again."""
        gathered = self._storage.events.gathered()
        if not gathered:
            return DecidingReport(), None
        self._judge.forget()
        now = self._storage.sweeps.database_now()
        rows = {row.key: row for row in self._gathering({g.key for g in gathered})}
        started, again = 0, None
        for each in gathered:
            row = rows.get(each.key)
            try:
                due, limit = self._due(row, each, now), _limit(row)
            except (LeaseLost, StorageUnavailable):
                raise
            except Exception as error:  # one trigger's body must not stop the others
                events = self._storage.events.waiting(each.key, gathering.DEBOUNCE_LIMIT)
                self._refuse(lease, each.key, events, error)
                continue
            if due is None:
                continue
            if due <= now:
                if self._fire(lease, row, each.key, limit):
                    started, again = started + 1, now  # what is left may be enough for another
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
        wanted, every = _assets(row)
        if every:
            complete = wanted <= self._storage.events.subjects_waiting(row.key)
            return (due or now) if complete else None
        return due or now

    def _fire(
        self, lease: Lease, row: TriggerRow | None, key: tuple[str, str, str], limit: int
    ) -> int:
        events = self._storage.events.waiting(key, limit)
        if not events:
            return 0
        try:
            decision, run = self._judge.started(row, key, events)
            with self._storage.deciding(lease) as transaction:
                transaction.settle(key, [e.id for e in events], decision)
                transaction.start([] if run is None else [run])
        except (LeaseLost, StorageUnavailable):
            raise
        except Exception as error:  # what one trigger has gathered must not stop the others
            self._refuse(lease, key, events, error)
            return 0
        self._tell(decision.outcome)
        return 0 if run is None else 1

    def _refuse(
        self,
        lease: Lease,
        key: tuple[str, str, str],
        events: Sequence[StoredEvent],
        error: Exception,
    ) -> None:
        """Refuse what cannot start a run. If others settled it meanwhile, that fails too."""
        if not events:
            return
        reason = f"they could not start a run: {unexpected(error)}"[:LONGEST_REASON]
        refused = Decision(events[-1].id, *key, "refused", reason)
        try:
            with self._storage.deciding(lease) as transaction:
                transaction.settle(key, [e.id for e in events], refused)
        except PreconditionFailed as failed:
            log.info("events_gathered_elsewhere", reason=failed.message)
            return
        log.error("gathered_poisoned", trigger="/".join(key), reason=_reason(error))
        self._tell(refused.outcome)


def _limit(row: TriggerRow | None) -> int:
    return gathering.DEBOUNCE_LIMIT if row is None else gathering.size_limit(row.body)


def _assets(row: TriggerRow) -> tuple[frozenset[str], bool]:
    return matching.assets_of(row.body) if row.kind == "asset" else (frozenset(), False)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:LONGEST_REASON]
