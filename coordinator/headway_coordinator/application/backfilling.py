"""The leader's work on backfills: each date gets its run, as far as the backfill's lane has room.

How many runs are open is counted from the rows each time. A date and its run are tied together in
one fenced transaction with the wish for the run, so that a date gets exactly one, whoever leads and
however often it is looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from headway import ids
from headway.clock import Clock, rfc3339
from headway.errors import DefinitionError, HeadwayError
from headway.expressions import ExpressionError
from headway_coordinator.application.backfill_ports import (
    OpenDate,
    StoredBackfill,
    TakenDate,
    WaitingDate,
)
from headway_coordinator.application.conditions import Conditions, seen_event, seen_run
from headway_coordinator.application.deciding import DecidingReport
from headway_coordinator.application.intake import RunRequest, run_body
from headway_coordinator.application.ports import (
    Lease,
    PreconditionFailed,
    Storage,
    StoredDefinition,
)
from headway_coordinator.application.scheduling import tick_form
from headway_coordinator.application.trigger_ports import WantedRun
from headway_coordinator.application.verdicts import LONGEST_REASON
from headway_coordinator.schedule.backfilling import DATE_ENDED

log = structlog.get_logger("headway.triggers")

_PAGE = 100  # runs of one backfill in one transaction
_AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Step:
    """What one look at a backfill does to it."""

    ended: Sequence[OpenDate] = ()
    taken: Sequence[TakenDate] = ()
    runs: Sequence[WantedRun] = ()
    is_last: bool = False
    has_more: bool = False


class Backfiller:
    """Starts the runs of backfills; the same thread that decides calls it."""

    def __init__(self, storage: Storage, conditions: Conditions, clock: Clock) -> None:
        self._storage = storage
        self._conditions = conditions
        self._clock = clock

    def fire(self, lease: Lease) -> tuple[DecidingReport, datetime | None]:
        """Start runs where there is room for them; return when there is more to do.

        Raises:
            LeaseLost: this hold is over; nothing was written.
        """
        backfills = self._storage.backfills.running()
        if not backfills:
            return DecidingReport(), None
        open_dates: dict[str, list[OpenDate]] = defaultdict(list)
        for each in self._storage.backfills.open_dates([b.id for b in backfills]):
            open_dates[each.backfill].append(each)
        runs, more = 0, False
        for backfill in backfills:
            step = self._step(backfill, open_dates[backfill.id])
            runs += len(step.runs) if self._take(lease, backfill, step) else 0
            more = more or step.has_more
        return DecidingReport(runs=runs), _AT_ONCE if more else None

    def _step(self, backfill: StoredBackfill, open_dates: Sequence[OpenDate]) -> _Step:
        ended = [each for each in open_dates if each.state in DATE_ENDED]
        under_way = len(open_dates) - len(ended)
        room = backfill.wanted.max_in_flight - under_way
        if room <= 0:
            return _Step(ended)
        most = min(room, _PAGE)
        dates = self._storage.backfills.waiting(backfill, most)
        taken, runs = self._judged(backfill, dates)
        is_full = len(dates) == most
        return _Step(
            ended,
            taken,
            runs,
            is_last=not is_full and not runs and not under_way,
            # Dates that get no run leave their room to the next ones.
            has_more=is_full and (most < room or len(runs) < len(dates)),
        )

    def _take(self, lease: Lease, backfill: StoredBackfill, step: _Step) -> bool:
        """Write what was decided; say whether it holds."""
        if not (step.ended or step.taken or step.is_last):
            return False
        id = backfill.id
        try:
            with self._storage.deciding(lease) as transaction:
                transaction.hold_backfill(id, backfill.wanted.max_in_flight)
                transaction.settle_dates(step.ended)
                transaction.start(step.runs)
                transaction.take_dates(id, step.taken)
                if step.is_last:
                    transaction.end_backfill(id)
        except PreconditionFailed as error:  # steered meanwhile; what is left comes again
            log.info("backfill_moved_elsewhere", backfill=id, reason=error.message)
            return False
        for each in step.taken:
            log.info(
                "backfill_date_taken",
                backfill=id,
                logical_date=rfc3339(each.logical_date),
                run=each.run,
                outcome=each.outcome,
                reason=each.reason,
            )
        if step.is_last:
            log.info("backfill_done", backfill=id)
        return True

    # --- judging ---------------------------------------------------------------------------------

    def _judged(
        self, backfill: StoredBackfill, dates: Sequence[WaitingDate]
    ) -> tuple[list[TakenDate], list[WantedRun]]:
        taken: list[TakenDate] = []
        runs: list[WantedRun] = []
        definition = self._definition(backfill) if dates else None
        for each in dates:
            made = self._run(backfill, definition, each)
            if isinstance(made, TakenDate):
                taken.append(made)
            else:
                taken.append(TakenDate(each.date.logical_date, made.run))
                runs.append(made)
        return taken, runs

    def _definition(self, backfill: StoredBackfill) -> StoredDefinition | None:
        found = self._storage.definitions.current(backfill.wanted.pipeline, backfill.wanted.team)
        return found[0] if found else None

    def _run(
        self, backfill: StoredBackfill, definition: StoredDefinition | None, waiting: WaitingDate
    ) -> WantedRun | TakenDate:
        """Return the date's run, or why there is none."""
        wanted, date = backfill.wanted, waiting.date
        tick = date.logical_date
        if definition is None:
            return TakenDate(tick, None, "refused", "the pipeline is gone")
        form = tick_form(
            (wanted.team, wanted.pipeline, wanted.trigger or "backfill"),
            tick,
            (date.start, date.end),
        )
        event = seen_event(form)
        run = seen_run(wanted.team, wanted.pipeline, tick, form["data"])
        condition = wanted.body.get("if")
        part = "if"
        try:
            if condition is not None and not self._conditions.holds(condition, event, run):
                return TakenDate(tick, None, "filtered", f"`if: {condition}` is false"[:500])
            part = "params"
            mapped = self._conditions.resolved(dict(wanted.body.get("params") or {}), event, run)
            return self._wanted(backfill, definition, waiting, {**mapped, **wanted.params})
        except ExpressionError as error:
            why = f"{part}: {error}"
        except DefinitionError as error:
            why = "params: " + ("; ".join(p.message for p in error.problems[:3]) or error.message)
        except (HeadwayError, ValueError, TypeError, KeyError) as error:
            log.error("backfill_unexpected", backfill=backfill.id, error=repr(error))
            why = f"params: {error}"
        return TakenDate(tick, None, "refused", why[:LONGEST_REASON])

    def _wanted(
        self,
        backfill: StoredBackfill,
        definition: StoredDefinition,
        waiting: WaitingDate,
        params: Mapping[str, Any],
    ) -> WantedRun:
        wanted, date = backfill.wanted, waiting.date
        origin = {
            "kind": "backfill",
            "backfill": backfill.id,
            "data_interval_start": rfc3339(date.start),
            "data_interval_end": rfc3339(date.end),
        }
        run = ids.new_id(self._clock)
        request = RunRequest(
            wanted.pipeline, wanted.team, params, logical_date=date.logical_date, origin=origin
        )
        body = run_body(definition, request, run, date.logical_date)
        dedupe = f"backfill:{backfill.id}:{rfc3339(date.logical_date)}"
        if waiting.no > 1:
            dedupe += f":{waiting.no}"
        return WantedRun(run, dedupe, wanted.actor, {**body, "priority": wanted.priority})
