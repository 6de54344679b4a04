"""Whatever happens, in whatever order and however often: the engine's promises hold.

A model of the rows stands beside the run: which attempts live, what was asked and not answered.
Events are also redelivered long after they came: a broker doubles and reorders.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
)
from hypothesis.stateful import (
    rule as happens,
)

from headway.plan.children import parent_of
from headway.plan.model import Kind, Plan
from headway_coordinator.engine.advance import LOSS_LIMIT
from headway_coordinator.engine.events import (
    Admitted,
    CancelRequested,
    ClearRequested,
    Decided,
    Deferred,
    Due,
    Event,
    Expanded,
    Finished,
    MarkRequested,
    PauseRequested,
    ResumeRequested,
    RetryRequested,
    Unresolvable,
    Withdrawn,
)
from headway_coordinator.engine.explain import explain
from headway_coordinator.engine.model import (
    AttemptEnded,
    AttemptMade,
    Decide,
    Decision,
    Live,
    RunMoved,
    Step,
    StepMoved,
    StopAttempts,
)
from headway_coordinator.engine.rules import Ruling, rule
from headway_coordinator.engine.settle import outstanding, verdict
from headway_coordinator.engine.states import RUN_TERMINAL, RunStatus, StepStatus
from tests.property.plans import plans
from tests.unit.engine.building import QUEUE, Journey, reloaded, snapshot

SECOND = timedelta(seconds=1)
OUTCOMES = ("succeeded", "succeeded", "failed", "failed", "timed_out", "cancelled", "lost")


S = StepStatus
# What is asked anew is a new request: a redelivery of it is no repetition to the engine.
_ASKED = (CancelRequested, ClearRequested, MarkRequested, PauseRequested, ResumeRequested)


def _reopens(change: object) -> bool:
    return isinstance(change, RunMoved) and change.before.request != change.after.request


def _made_anew(event: Event | None, decision: Decision) -> set[str]:
    """Return the steps whose children begin anew: with another list, or once they were stopped."""
    moves = [change for change in decision.changes if isinstance(change, StepMoved)]
    anew = {move.after.key for move in moves if move.after.status is S.PENDING}
    return anew | {event.step} if isinstance(event, Expanded) else anew


class EngineMachine(RuleBasedStateMachine):
    """The run and the model beside it."""

    run: Journey
    seldom = 3  # of 0 to 3, the least throw of the dice that lets a person clear or mark a step

    @initialize(plan=plans())
    def begin(self, plan: Plan) -> None:
        self._begin(plan)

    def _begin(self, plan: Plan) -> None:
        self.run = Journey(plan)
        self.live: dict[str, str] = {}  # attempt → step
        self.numbers: dict[str, int] = {}  # step → number of its newest attempt
        self.tried: Counter[str] = Counter()  # step → attempts since the run was reopened
        self.asked: set[str] = set()
        self.stops: list[StopAttempts] = []
        self.requests = 0
        self._observe(None, self.run.begun)

    # --- what may happen -------------------------------------------------------------------------

    @precondition(lambda self: self._those(StepStatus.READY))
    @happens(data=st.data())
    def admit(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(self._those(StepStatus.READY)))
        if key in self.run.state.children:
            self._take(Expanded(key, tuple(range(data.draw(st.integers(0, 5))))))
        elif self.run.state.plan.of(key).kind is Kind.WAIT:
            seconds = data.draw(st.integers(0, 30))
            self._take(Deferred(key, self.run.now + seconds * SECOND))
        else:
            self._take(Admitted(key, QUEUE, {}))

    @precondition(lambda self: self.live)
    @happens(data=st.data(), outcome=st.sampled_from(OUTCOMES))
    def finish(self, data: st.DataObject, outcome: str) -> None:
        live = self._a_live_one(data)
        expired = outcome == "lost"
        outputs = {"rows": 1} if outcome == "succeeded" else {}
        self._take(Finished(live.id, live.fence, outcome, outputs=outputs, expired=expired))

    @happens(data=st.data(), outcomes=st.lists(st.sampled_from(OUTCOMES), min_size=3, max_size=3))
    def go_on(self, data: st.DataObject, outcomes: list[str]) -> None:
        """Several things at once, so that short stories reach the end of a run, too."""
        for outcome in outcomes:
            if self.asked:
                self.decide(data, True)
            if self._those(StepStatus.READY):
                self.admit(data)
            if self.live:
                self.finish(data, outcome)

    @precondition(lambda self: self.live)
    @happens(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        live = self._a_live_one(data)
        self._take(Finished(live.id, live.fence, "lost", reason="lease", expired=True))

    @precondition(lambda self: self._withdrawable())
    @happens(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        live, reason = data.draw(st.sampled_from(self._withdrawable()))
        self._take(Withdrawn(live.id, live.fence, reason))

    @precondition(lambda self: self.asked)
    @happens(data=st.data(), answer=st.sampled_from([True, True, False, None]))
    def decide(self, data: st.DataObject, answer: bool | None) -> None:
        key = data.draw(st.sampled_from(sorted(self.asked)))
        decision = self._take(
            Unresolvable(key, "no such output") if answer is None else Decided(key, answer)
        )
        assert decision.ignored is None

    @precondition(lambda self: self._those(StepStatus.READY))
    @happens(data=st.data(), dice=st.integers(0, 9))
    def cannot_resolve(self, data: st.DataObject, dice: int) -> None:
        if dice == 7:
            key = data.draw(st.sampled_from(self._those(StepStatus.READY)))
            self._take(Unresolvable(key, "no such param"))

    @happens(seconds=st.integers(0, 15))
    def time_passes(self, seconds: int) -> None:
        self.run.now += seconds * SECOND
        for step in list(self.run.state.steps.values()):
            if step.due_at is not None and step.due_at <= self.run.now:
                self._take(Due(step.key))
        self._take(Due(None))

    @happens(data=st.data())
    def a_timer_fires_early_or_twice(self, data: st.DataObject) -> None:
        self._take(Due(data.draw(st.sampled_from([None, *self.run.state.steps]))))

    @happens(dice=st.integers(0, 15))
    def cancel(self, dice: int) -> None:
        if dice == 11:
            self._take(CancelRequested("ann"))

    @precondition(lambda self: self.run.state.run.status in RUN_TERMINAL)
    @happens()
    def retry(self) -> None:
        self._take(RetryRequested("ann"))

    @happens(data=st.data(), downstream=st.booleans(), force=st.booleans(), dice=st.integers(0, 3))
    def clear(self, data: st.DataObject, downstream: bool, force: bool, dice: int) -> None:
        if dice >= self.seldom:
            keys = self._some_steps(data)
            decision = self._take(ClearRequested("ann", keys, downstream, force))
            self._children_are_refused(keys, decision)

    @happens(
        data=st.data(),
        status=st.sampled_from([S.SUCCEEDED, S.FAILED, S.SKIPPED]),
        force=st.booleans(),
        dice=st.integers(0, 3),
    )
    def mark(self, data: st.DataObject, status: StepStatus, force: bool, dice: int) -> None:
        if dice >= self.seldom:
            outputs = {"rows": 2} if data.draw(st.booleans()) else {}
            keys = self._some_steps(data)
            decision = self._take(MarkRequested("ann", keys, status, outputs, force))
            self._children_are_refused(keys, decision)

    def _children_are_refused(self, keys: tuple[str, ...], decision: Decision) -> None:
        if any(key not in self.run.state.plan.by_key for key in keys):
            assert decision.ignored is not None

    @happens(dice=st.integers(0, 7))
    def pause_and_resume(self, dice: int) -> None:
        if self.run.state.run.status is RunStatus.PAUSED:
            self._take(ResumeRequested("ann"))
        elif dice > self.seldom + 3:
            self._take(PauseRequested("ann"))

    @precondition(lambda self: self.run.told)
    @happens(data=st.data(), rarely=st.sampled_from([False, False, False, True]))
    def redeliver(self, data: st.DataObject, rarely: bool) -> None:
        told = self.run.told
        event = told[data.draw(st.integers(0, len(told) - 1))]
        if not isinstance(event, _ASKED) or rarely:
            self._take(event)

    @precondition(lambda self: self.run.told)
    @happens()
    def redeliver_the_latest(self) -> None:
        self._take(self.run.told[-1])

    @happens()
    def the_leader_changes(self) -> None:
        self.run.state = reloaded(self.run.state)

    # --- what must hold --------------------------------------------------------------------------

    @invariant()
    def rows_say_the_same(self) -> None:
        assert snapshot(reloaded(self.run.state)) == snapshot(self.run.state)

    @invariant()
    def one_attempt_lives_for_each_running_step(self) -> None:
        running = {s.live.id: k for k, s in self.run.state.steps.items() if s.live is not None}
        assert running == self.live
        assert len(set(self.live.values())) == len(self.live)

    @invariant()
    def what_is_open_is_what_a_new_leader_would_ask(self) -> None:
        assert {e.step for e in outstanding(self.run.state)} == self.asked

    @invariant()
    def what_is_pending_has_a_reason(self) -> None:
        if self.run.state.run.status not in (*RUN_TERMINAL, RunStatus.CANCELLING):
            assert all(explain(self.run.state, key) for key in self._those(StepStatus.PENDING))

    def teardown(self) -> None:
        if not hasattr(self, "run"):
            return
        self._end()
        if self.run.state.run.status is not RunStatus.SUCCEEDED:
            self._take(RetryRequested("ann"))
            self._redeliver_everything()
            self._end()

    def _end(self) -> None:
        self._drain()
        self._ended()
        ended = snapshot(self.run.state)
        self._redeliver_everything()
        assert snapshot(self.run.state) == ended

    def _redeliver_everything(self) -> None:
        """All that ever came comes again, but for timers and the requests of people."""
        for event in list(self.run.told):
            if not isinstance(event, (*_ASKED, RetryRequested, Due)):
                self._take(event)

    def _drain(self) -> None:
        """Let all that is left go well: every run comes to an end."""
        for _ in range(200):
            if self.run.state.run.status in RUN_TERMINAL:
                return
            if self.run.state.run.status is RunStatus.PAUSED:
                self._take(ResumeRequested("ann"))
            for key in sorted(self.asked):
                self._take(Decided(key, True))
            for key in self._those(StepStatus.READY):
                waits = self.run.state.plan.of(key).kind is Kind.WAIT
                now = self.run.now
                event: Event = Deferred(key, now) if waits else Admitted(key, QUEUE, {})
                self._take(Expanded(key, (1, 2)) if key in self.run.state.children else event)
            for key in self._those(StepStatus.RUNNING):
                live = self.run.state.steps[key].live
                if live is not None:
                    self._take(Finished(live.id, live.fence, "succeeded"))
            self.time_passes(5)
        raise AssertionError(f"the run did not end: {self.run.status} {self.run.steps}")

    def _ended(self) -> None:
        state = self.run.state
        assert not self.live
        assert not self.asked
        bad = any(
            s.status is StepStatus.UPSTREAM_FAILED
            or (
                s.status in (StepStatus.FAILED, StepStatus.CANCELLED)
                and not state.plan.by_key[k].allow_failure
            )
            for k, s in state.steps.items()
            if k in state.plan.by_key  # a child's end is its parent's affair
        )
        expected = RunStatus.FAILED if bad else RunStatus.SUCCEEDED
        assert verdict(state)[0] is expected
        assert state.run.status is (state.run.verdict or expected)

    # --- the model -------------------------------------------------------------------------------

    def _take(self, event: Event) -> Decision:
        decision = self.run.take(event)
        self._observe(event, decision)
        return decision

    def _observe(self, event: Event | None, decision: Decision) -> None:
        by_hand = isinstance(event, ClearRequested | MarkRequested)
        reopening = isinstance(event, RetryRequested) or by_hand
        reopening = reopening and decision.ignored is None
        if reopening and any(_reopens(change) for change in decision.changes):
            self.requests += 1
        assert self.run.state.run.request == self.requests
        anew = _made_anew(event, decision)
        moved = set()
        for change in decision.changes:
            match change:
                case AttemptMade():
                    self._made(change)
                case AttemptEnded():
                    assert self.live.pop(change.attempt)
                case StepMoved(before, after):
                    if after.status is S.PENDING and not after.failures + after.losses:
                        self.tried[after.key] = 0  # it starts anew
                    again = reopening or parent_of(before.key) in anew
                    assert again or not before.terminal, f"{before.key} had ended"
                    if before.key not in moved:  # what follows of it has causes of its own
                        self._moved(event, before)
                    moved.add(before.key)
                case RunMoved(before):
                    assert reopening or before.status not in RUN_TERMINAL
        if isinstance(event, Withdrawn) and decision.ignored is None:
            del self.live[event.attempt]
        self._note_effects(decision)
        if isinstance(event, ClearRequested | MarkRequested | PauseRequested):
            # What is not to be decided now is asked again when it is.
            self.asked &= {e.step for e in outstanding(self.run.state)}

    def _moved(self, event: Event | None, before: Step) -> None:
        if isinstance(event, Due) and event.step == before.key:
            assert before.due_at is not None
            assert before.due_at <= self.run.now
        if isinstance(event, RetryRequested) and before.status is StepStatus.SUCCEEDED:
            assert self.run.state.plan.of(before.key).final

    def _made(self, made: AttemptMade) -> None:
        planned = self.run.state.plan.of(made.step)
        assert planned.final or self.run.state.run.status is RunStatus.RUNNING
        assert made.step not in self.live.values()
        assert made.no == made.fence == self.numbers.get(made.step, 0) + 1
        self.numbers[made.step] = made.no
        self.live[made.attempt] = made.step
        self.tried[made.step] += 1
        assert self.tried[made.step] <= 1 + planned.retry.max + LOSS_LIMIT
        tally = self.run.state.tallies[planned.key]
        assert rule(planned.when, tally, len(planned.needs)) is Ruling.RUN

    def _note_effects(self, decision: Decision) -> None:
        asks = [e.step for e in decision.effects if isinstance(e, Decide)]
        assert len(asks) == len(set(asks))
        self.asked.update(asks)
        pending = self._those(StepStatus.PENDING)
        self.asked.intersection_update(pending)
        stops = [e for e in decision.effects if isinstance(e, StopAttempts)]
        assert all(attempt in self.live for stop in stops for attempt in stop.attempts)
        self.stops.extend(stops)

    # --- what there is to choose from ------------------------------------------------------------

    def _some_steps(self, data: st.DataObject) -> tuple[str, ...]:
        keys = st.sampled_from(list(self.run.state.steps))
        return tuple(data.draw(st.lists(keys, unique=True, min_size=1, max_size=2)))

    def _those(self, status: StepStatus) -> list[str]:
        return [k for k, s in self.run.state.steps.items() if s.status is status]

    def _a_live_one(self, data: st.DataObject) -> Live:
        key = data.draw(st.sampled_from(sorted(self.live.values())))
        live = self.run.state.steps[key].live
        assert live is not None
        return live

    def _withdrawable(self) -> list[tuple[Live, str]]:
        found = []
        for stop in self.stops:
            for attempt in stop.attempts:
                if attempt in self.live:
                    live = self.run.state.steps[self.live[attempt]].live
                    assert live is not None
                    found.append((live, stop.reason))
        return found


class ItemsMachine(EngineMachine):
    """Few steps, most of them with items, and people who ask for much."""

    seldom = 1

    @initialize(plan=plans(mapped=True))
    def begin(self, plan: Plan) -> None:
        self._begin(plan)

    def _some_steps(self, data: st.DataObject) -> tuple[str, ...]:
        keys = list(self.run.state.steps) if data.draw(st.integers(0, 9)) == 0 else self._own()
        return (data.draw(st.sampled_from(keys)),)

    def _own(self) -> list[str]:
        return [step.key for step in self.run.state.plan.steps]


TestEngine = EngineMachine.TestCase
TestItems = ItemsMachine.TestCase
TestItems.settings = TestEngine.settings = settings(
    max_examples=200,
    stateful_step_count=50,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],  # on a busy machine that would say nothing
)
