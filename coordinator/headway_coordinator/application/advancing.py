"""The leader's work: gather what happened, advance the runs, admit, write, then publish.

The order is the protocol: everything is decided on overlays outside any transaction; one fenced
transaction writes it; only after its commit does the memory move, are dispatches published and
messages acknowledged. Whatever goes wrong before the commit costs nothing but the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from headway.clock import Clock
from headway.errors import HeadwayError
from headway.protocol.messages import Dispatch
from headway_coordinator.application.advancing_ports import Advancing
from headway_coordinator.application.batch import Batch, Incoming, Poison
from headway_coordinator.application.capacity import CapacityView
from headway_coordinator.application.filling import BATCH_LIMIT, Filler, Given
from headway_coordinator.application.memory import Memory
from headway_coordinator.application.noting import noted
from headway_coordinator.application.plans import Plans
from headway_coordinator.application.ports import (
    Doorbell,
    Lease,
    LeaseLost,
    Storage,
    StorageUnavailable,
)
from headway_coordinator.application.report import Report, log_end
from headway_coordinator.application.resolving import Resolver
from headway_coordinator.application.telling import ends_a_date, told
from headway_coordinator.engine.events import (
    Finished,
    Withdrawn,
)
from headway_coordinator.engine.model import AttemptMade
from headway_coordinator.engine.state import RunState
from headway_coordinator.engine.states import RUN_TERMINAL, STEP_TERMINAL, StepStatus

log = structlog.get_logger("headway.advance")

_ALONE_TRIES = 3


class Advancer:
    """Advances all runs of an installation while it holds the lease; one thread calls it."""

    def __init__(
        self,
        *,
        storage: Storage,
        resolver: Resolver,
        plans: Plans,
        doorbell: Doorbell,
        capacity: CapacityView,
        clock: Clock,
        claim_within: timedelta,
        told: Callable[[], None] = lambda: None,
        noted: Callable[[], None] = lambda: None,
    ) -> None:
        """`told` is called when a batch has left events that triggers may listen to, or has ended a
        run of a backfill; `noted` when it may have left notifications."""
        self._told_events = told
        self._noted = noted
        self._storage = storage
        self._doorbell = doorbell
        self._capacity = capacity
        self._clock = clock
        self._claim_within = claim_within
        self._memory = Memory(storage, plans)
        self._filler = Filler(
            memory=self._memory,
            resolver=resolver,
            plan_of=plans.get,
            windows=lambda ended: capacity.windows(storage, ended),
            holds=lambda: capacity.holds(storage),
        )
        self._told = (clock.now(), clock.monotonic())
        self._failed: list[str] = []

    def load(self) -> int:
        """Read every open run; to be called when leadership begins. Returns how many there are."""
        self._set_clock(self._storage.sweeps.database_now())
        self._capacity.count_again()
        return self._memory.load()

    def now(self) -> datetime:
        """Return the database's time: what the last transaction was told, and what passed since.

        Only the monotonic clock counts here, so that setting the host's clock fires no timer.
        """
        told, at = self._told
        return told + timedelta(seconds=self._clock.monotonic() - at)

    def _set_clock(self, database_now: datetime) -> None:
        self._told = (database_now, self._clock.monotonic())

    def wakes_at(self) -> datetime | None:
        """Return when, on the database's clock, there is work without anybody asking."""
        if self._memory.own or self._memory.conditions or self._memory.doubtful_groups:
            return self.now()
        return self._memory.next_due()

    def read_again(self, runs: Iterable[str]) -> None:
        """Drop what is remembered of the runs and read their rows; what those say is acted on."""
        self._memory.read_again(runs)

    def state_of(self, run: str) -> RunState | None:
        return self._memory.runs.get(run)

    def open_runs(self) -> int:
        return len(self._memory.runs)

    def has_open_runs(self) -> bool:
        """Say whether some run is not terminal, also one that is set aside."""
        return bool(self._memory.runs or self._memory.quarantined)

    def advance(self, lease: Lease, incoming: Sequence[Incoming], *, inbox: bool) -> Report:
        """Take `incoming`, what is due, and (with `inbox`) the inbox; write it and publish.

        Raises:
            LeaseLost: this hold is over; nothing was written.
            StorageUnavailable: nothing is known to be written; give `incoming` again after `load`.
        """
        memory = self._memory
        entries = self._storage.inbox.pending(BATCH_LIMIT) if inbox else []
        own = [memory.own.popleft() for _ in range(min(len(memory.own), BATCH_LIMIT))]
        conditions = frozenset(memory.conditions)
        memory.conditions.clear()
        groups, memory.doubtful_groups = memory.doubtful_groups, set()
        given = Given([*incoming, *own], entries, conditions, frozenset(groups))
        try:
            return self._try(lease, given)
        except (LeaseLost, StorageUnavailable):
            raise
        except Exception as error:  # whatever one run provokes must not stop the others
            log.warning("batch_rolled_back", reason=_reason(error), events=len(given.incoming))
        return self._one_by_one(lease, given)

    def _one_by_one(self, lease: Lease, given: Given) -> Report:
        """Advance every run of a failed batch alone, so that a poisoned one stops no other."""
        total = Report(rolled_back=1)
        for run in dict.fromkeys([*given.runs(), *self._failed]):
            total.add(self._alone(lease, given.of(run)))
        return total

    def _alone(self, lease: Lease, given: Given) -> Report:
        run = given.only
        assert run is not None
        problem = ""
        for _ in range(_ALONE_TRIES):
            given = self._reconsidered(given, run)
            try:
                return self._try(lease, given)
            except (LeaseLost, StorageUnavailable):
                raise
            except Exception as error:  # the run is set aside with it
                problem = _reason(error)
        if run in self._memory.quarantined:
            # Set aside already: what cannot be written is what it was sent. It would come again
            # with every look at the inbox.
            log.error("events_refused", run=run, reason=problem, count=len(given.entries))
            return self._try(
                lease, Given([], given.entries, frozenset(), only=run, refused=problem)
            )
        log.error("run_poisoned", run=run, reason=problem)
        poison = Incoming(run, Poison(problem))
        return self._try(lease, Given([poison], [], frozenset(), only=run))

    def _reconsidered(self, given: Given, run: str) -> Given:
        """Return the input without what the rows refuted, and with what they told meanwhile.

        A lease found expired may have been renewed since: the next sweep looks again. What was
        withdrawn in the database comes before anything else.
        """
        told = [i for i in self._memory.own if i.run == run]
        for event in told:
            self._memory.own.remove(event)
        kept = [
            i for i in given.incoming if not (isinstance(i.event, Finished) and i.event.expired)
        ]
        return replace(given, incoming=[*told, *kept])

    def _try(self, lease: Lease, given: Given) -> Report:
        batch = Batch(self.now(), self._memory.runs.get)
        try:
            self._memory.read_missing(given.runs())
            self._filler.fill(batch, given)
            withdrawn = self._write(lease, batch)
        except Exception:
            # Which rows are there now is not known here: they are read again.
            self._failed = list(batch.touched)
            self._memory.doubtful_groups.update(given.groups)
            self._capacity.count_again()
            self._memory.read_again(batch.touched)
            raise
        return self._accept(batch, withdrawn, given)

    # --- writing ---------------------------------------------------------------------------------

    def _write(self, lease: Lease, batch: Batch) -> list[Incoming]:
        """Write the batch; return what the rows said of attempts that were asked to stop."""
        if not batch.has_writes():
            return []
        batch.told = told(batch, self._clock)
        batch.noted = noted(batch, self._clock)
        with self._storage.advancing(lease) as transaction:
            withdrawn = self._rows(transaction, batch)
            self._set_clock(transaction.now)
            batch.heard = transaction.heard
            return withdrawn

    def _rows(self, transaction: Advancing, batch: Batch) -> list[Incoming]:
        transaction.create_runs(batch.created())
        transaction.move_runs(batch.run_moves())
        transaction.end_attempts(batch.ended())
        transaction.settle_attempts(batch.strays)
        transaction.move_steps(batch.step_moves())
        transaction.expand_steps(batch.expanded(), batch.children_made())
        transaction.make_attempts(batch.made(), self._claim_within)
        withdrawals = transaction.stop_attempts(batch.stops())
        transaction.mark_applied(batch.inbox)
        transaction.audit(batch.audit())
        transaction.tell(batch.told)
        transaction.note(batch.noted)
        for run, defect in batch.defects.items():
            transaction.quarantine(run, defect.message)
        return [Incoming(w.run, Withdrawn(w.attempt, w.fence, w.reason)) for w in withdrawals]

    # --- after the commit ------------------------------------------------------------------------

    def _accept(self, batch: Batch, withdrawn: Sequence[Incoming], given: Given) -> Report:
        """The commit succeeded: move the memory, then publish."""
        entries = len(given.entries)
        report = Report(
            events=len(given.incoming) + entries, inbox=entries, ignored=len(batch.ignored)
        )
        self._set_aside(batch, report)
        for run, touched in batch.touched.items():
            self._memory.runs[run] = touched.commit(self._memory.runs.get(run))
            self._memory.place(self._memory.runs[run])
            self._remember(run, batch, report)
        self._memory.own.extend(withdrawn)
        for taken, reason in batch.ignored:
            log.debug("event_ignored", run=taken.run, type=type(taken.event).__name__, why=reason)
        report.attempts_ended = batch.finished
        report.told = batch.heard
        if batch.heard or ends_a_date(batch):
            self._told_events()
        if batch.noted:
            self._noted()
        self._capacity.learn(batch.durations())
        self._capacity.moved(
            [made.queue for made in batch.made()],
            [i.worker for i in given.incoming if isinstance(i.event, Finished)],
        )
        if batch.stops():
            self._capacity.count_again()  # some of the dispatched ones may be withdrawn
        made = batch.made()
        report.dispatched = len(made)
        report.queue_waits = batch.queue_waits()
        if made:
            self._doorbell.publish([dispatch_of(m) for m in made])
        return report

    def _set_aside(self, batch: Batch, report: Report) -> None:
        for run, defect in batch.defects.items():
            log.error("run_quarantined", run=run, reason=defect.message, story=defect.story)
            self._memory.forget(run)
            self._memory.quarantined.add(run)
            report.quarantined.append(run)

    def _remember(self, run: str, batch: Batch, report: Report) -> None:
        touched = batch.touched[run]
        state = self._memory.runs[run]
        report.runs_created += touched.new
        for move in touched.moves.values():
            step = move.after
            if step.status in STEP_TERMINAL:
                report.steps_ended.append(step)
            elif step.status is not StepStatus.READY or step.due_at is not None:
                self._memory.note_step(state, step)
        if touched.run_moved:
            self._memory.note_run(state.run)
        if state.run.status in RUN_TERMINAL:
            self._memory.end(run)
            if touched.run_moved:
                report.runs_ended.append(state.run)
                log_end(state.run)


def dispatch_of(made: AttemptMade, dispatch_no: int = 1) -> Dispatch:
    """Return the doorbell of a new attempt."""
    return Dispatch.model_construct(
        v=1,
        team=made.team,
        run=made.run,
        step=made.step,
        attempt=made.attempt,
        fence=made.fence,
        dispatch_no=dispatch_no,
        queue=made.queue,
    )


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, HeadwayError) else f"{type(error).__name__}: {error}"
