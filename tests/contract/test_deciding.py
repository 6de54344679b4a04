"""Events meet triggers: exactly one run for each accepted event and matching trigger."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from headway_coordinator.application import telling
from headway_coordinator.application.batch import Batch, Touched
from headway_coordinator.application.ports import LeaseLost, PreconditionFailed
from headway_coordinator.application.receiving import kept_form
from headway_coordinator.application.trigger_ports import (
    Decision,
    EventFilter,
    NewEvent,
    WantedRun,
)
from headway_coordinator.engine.model import Step, StepMoved
from headway_coordinator.engine.states import RunStatus, StepStatus
from tests.contract.deciders import NOW, Deciders, event_trigger, schedule_trigger, trigger
from tests.contract.world import TEAM, World, settle
from tests.contract.world import state as world_state


@pytest.fixture
def deciders(world: World) -> Deciders:
    return Deciders(world)


def test_an_event_starts_one_run_a_matching_trigger(deciders: Deciders) -> None:
    deciders.define(event_trigger(params={"file": "${{ event.data.name }}"}))
    deciders.define(event_trigger("com.example.file"), pipeline="other")
    deciders.define(event_trigger("org.*"), pipeline="deaf")
    [id] = deciders.send(deciders.event(data={"name": "a.csv"}))
    assert deciders.decide().runs == 2
    assert sorted((r.body["pipeline"], r.body["params"]["file"]) for r in deciders.runs()) == [
        ("daily", "a.csv"),
        ("other", ""),
    ]
    assert deciders.outcomes(id) == [("event", "matched", None), ("event", "matched", None)]
    assert deciders.decide().events == 0
    assert len(deciders.runs()) == 2
    origin = deciders.runs()[0].body["origin"]
    assert (origin["trigger"], origin["kind"], origin["event"]) == ("event", "event", id)


def test_the_same_event_again_is_the_same_event(deciders: Deciders) -> None:
    deciders.define(event_trigger())
    event = deciders.event()
    assert deciders.send(event) == deciders.send(event)
    deciders.decide()
    assert deciders.send(event) == deciders.send(event)
    deciders.decide()
    assert len(deciders.runs()) == 1


def test_twenty_deliveries_at_once_are_one_event(deciders: Deciders) -> None:
    deciders.define(event_trigger())
    event = deciders.event()
    barrier = Barrier(20)
    ids: list[str] = []

    def deliver() -> None:
        barrier.wait()
        ids.extend(deciders.send(event))

    threads = [Thread(target=deliver) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deciders.decide()
    assert len(ids) == 20
    assert len(set(ids)) == 1
    assert len(deciders.runs()) == 1


def test_a_teams_triggers_hear_its_own_events_alone(deciders: Deciders) -> None:
    deciders.define(event_trigger())
    [id] = deciders.send(deciders.event(), team="others")
    deciders.decide()
    assert deciders.runs() == []
    assert deciders.outcomes(id) == []
    stored = deciders.storage.events.get(id)
    assert stored is not None
    assert stored.decided_at is not None


@pytest.mark.parametrize(
    ("keys", "outcome", "reason"),
    [
        ({"if": "event.data.size > 10"}, "filtered", "`if: event.data.size > 10` is false"),
        ({"if": "event.data.none > 10"}, "refused", "if: there is no `none`"),
        ({"if": "event.data.size"}, "refused", "if: it gave a int, not true or false"),
        ({"params": {"file": "${{ event.data.none }}"}}, "refused", "params:"),
        ({"params": {"other": "x"}}, "refused", "params: the pipeline has no param `other`"),
        ({"dedupe": {"key": "${{ event.x }}", "window": 9}}, "refused", "dedupe.key:"),
    ],
)
def test_why_there_is_no_run_is_kept(
    deciders: Deciders, keys: dict[str, Any], outcome: str, reason: str
) -> None:
    deciders.define(event_trigger(**keys))
    [id] = deciders.send(deciders.event(data={"size": 3}))
    deciders.decide()
    assert deciders.runs() == []
    [(_, got, why)] = deciders.outcomes(id)
    assert got == outcome
    assert why is not None
    assert why.startswith(reason)


def test_a_dedupe_key_lets_one_event_through_a_window(deciders: Deciders) -> None:
    key = {"key": "${{ event.data.ref }}", "window": 3600}
    deciders.define(event_trigger(dedupe=key))
    first, twin, other = deciders.send(
        *(deciders.event(data={"ref": ref}) for ref in ("main", "main", "next"))
    )
    deciders.decide()
    [late] = deciders.send(deciders.event(data={"ref": "main"}))
    deciders.decide()
    assert [deciders.outcomes(id)[0][1] for id in (first, twin, other, late)] == [
        "matched",
        "duplicate",
        "matched",
        "duplicate",
    ]
    [run, _] = deciders.runs()
    assert f"run {run.run}" in str(deciders.outcomes(late)[0][2])


def test_after_the_window_the_key_counts_anew(deciders: Deciders, url: str) -> None:
    deciders.define(event_trigger(dedupe={"key": "same", "window": 3600}))
    deciders.send(deciders.event())
    deciders.decide()
    engine = create_engine(url)
    with engine.begin() as connection:
        early = deciders.storage.sweeps.database_now() - timedelta(hours=2)
        moment = (
            early
            if engine.dialect.name == "postgresql"
            else early.isoformat(timespec="microseconds")
        )
        connection.execute(text("UPDATE event SET received_at = :at"), {"at": moment})
    engine.dispose()
    deciders.send(deciders.event())
    deciders.decide()
    assert len(deciders.runs()) == 2


def test_a_paused_trigger_keeps_what_it_hears_and_starts_nothing(deciders: Deciders) -> None:
    deciders.define(event_trigger())
    triggers = deciders.storage.triggers
    assert triggers.pause(TEAM, "daily", "event", actor="ann")
    assert not triggers.pause(TEAM, "daily", "event", actor="ann")
    [id] = deciders.send(deciders.event())
    deciders.decide()
    assert deciders.outcomes(id) == [("event", "filtered", "the trigger was paused by ann")]
    deciders.define(event_trigger("com.*"))  # a new version does not let it go on
    assert triggers.resume(TEAM, "daily", "event", actor="bob")
    assert not triggers.resume(TEAM, "daily", "event", actor="bob")
    deciders.send(deciders.event())
    deciders.decide()
    assert len(deciders.runs()) == 1


def test_a_trigger_that_is_taken_out_hears_nothing(deciders: Deciders) -> None:
    deciders.define(event_trigger())
    deciders.define()
    deciders.send(deciders.event())
    deciders.decide()
    assert deciders.runs() == []
    assert deciders.storage.triggers.listing(None) == []


def test_a_leader_whose_lease_is_gone_decides_nothing(deciders: Deciders) -> None:
    deciders.define(event_trigger())
    [id] = deciders.send(deciders.event())
    deciders.storage.leases.release(deciders.world.lease)
    deciders.storage.leases.acquire("advance/0", holder="next", boot="b", term=timedelta(60))
    with pytest.raises(LeaseLost):
        deciders.decide()
    assert deciders.runs() == []
    assert deciders.outcomes(id) == []


def test_what_is_decided_is_not_decided_again(deciders: Deciders) -> None:
    deciders.define(event_trigger())
    [id] = deciders.send(deciders.event())
    deciders.decide()
    wanted = WantedRun("r9", "other", "ann", {"team": TEAM, "pipeline": "daily"})
    twice = Decision(id, TEAM, "daily", "second", "matched")

    def decide_again() -> None:
        with deciders.storage.deciding(deciders.world.lease) as transaction:
            transaction.start([wanted])
            transaction.decide([id], [twice])

    with pytest.raises(PreconditionFailed):
        decide_again()
    assert len(deciders.runs()) == 1
    assert len(deciders.outcomes(id)) == 1


def test_pipelines_that_start_each_other_for_ever_are_stopped(deciders: Deciders) -> None:
    deciders.define(event_trigger())
    [id] = deciders.send(deciders.event())
    stored = deciders.storage.events.get(id)
    assert stored is not None
    deep = NewEvent(
        "deep", TEAM, "cloudevent", stored.subject, "deep", "ann", {**stored.event, "depth": 26}
    )
    deciders.storage.events.add([deep, replace(deep, id="d2", dedupe="d2", event=stored.event)])
    deciders.decide()
    assert deciders.outcomes("deep")[0][1] == "refused"
    assert deciders.outcomes("d2")[0][1] == "matched"


# --- gathering -----------------------------------------------------------------------------------


def test_a_full_batch_is_one_run_with_all_its_events(deciders: Deciders) -> None:
    names = "${{ event.batch.map(e, e.subject)[2] }}"
    deciders.define(
        event_trigger(batch={"size": 3, "within": 3600}, params={"file": names}),
    )
    ids = deciders.send(*(deciders.event(subject=s) for s in ("a", "b", "c", "d")))
    deciders.decide()
    assert deciders.runs() == []
    outcome, again = deciders.decider.fire(deciders.world.lease)
    assert outcome.runs == 1
    assert deciders.params() == ["c"]
    got = [deciders.outcomes(id)[0][1] for id in ids]
    assert got == ["matched", "matched", "matched", "waiting"]
    outcome, again = deciders.decider.fire(deciders.world.lease)
    assert outcome.runs == 0
    assert again is not None
    left = again - deciders.storage.sweeps.database_now()
    assert timedelta(minutes=50) < left <= timedelta(hours=1)


def test_a_batch_goes_when_its_first_event_has_waited(deciders: Deciders) -> None:
    deciders.define(event_trigger(batch={"size": 100, "within": 0}))
    ids = deciders.send(deciders.event(), deciders.event())
    deciders.decide()
    outcome, _ = deciders.decider.fire(deciders.world.lease)
    assert outcome.runs == 1
    [run] = deciders.runs()
    assert run.body["origin"]["events"] == 2
    assert {deciders.outcomes(id)[0][1] for id in ids} == {"matched"}
    assert deciders.decider.fire(deciders.world.lease)[1] is None


def test_what_was_gathered_waits_while_the_trigger_is_paused(deciders: Deciders) -> None:
    deciders.define(event_trigger(batch={"size": 1, "within": 3600}))
    deciders.send(deciders.event())
    deciders.decide()
    triggers = deciders.storage.triggers
    triggers.pause(TEAM, "daily", "event", actor="ann")
    assert deciders.decider.fire(deciders.world.lease)[0].runs == 0
    triggers.resume(TEAM, "daily", "event", actor="ann")
    assert deciders.decider.fire(deciders.world.lease)[0].runs == 1


def test_a_debounce_waits_for_quiet(deciders: Deciders) -> None:
    deciders.define(
        event_trigger(debounce=3600, params={"file": "${{ event.subject }}"}), pipeline="calm"
    )
    deciders.define(
        event_trigger(debounce=0.001, params={"file": "${{ event.subject }}"}), pipeline="quick"
    )
    deciders.send(deciders.event(subject="a"), deciders.event(subject="b"))
    deciders.decide()
    outcome, again = deciders.decider.fire(deciders.world.lease)
    assert (outcome.runs, again is not None) == (1, True)
    [run] = deciders.runs()
    assert (run.body["pipeline"], run.body["params"]["file"]) == ("quick", "b")


def test_what_waits_for_a_trigger_that_is_gone_is_refused(deciders: Deciders) -> None:
    deciders.define(event_trigger(batch={"size": 3, "within": 3600}))
    [id] = deciders.send(deciders.event())
    deciders.decide()
    deciders.define()
    assert deciders.decider.fire(deciders.world.lease)[0].runs == 0
    [(_, outcome, reason)] = deciders.outcomes(id)
    assert outcome == "refused"
    assert "taken out" in str(reason)
    assert deciders.storage.events.gathered() == []


# --- schedules -----------------------------------------------------------------------------------


def test_a_tick_is_an_event_and_a_run(deciders: Deciders, url: str) -> None:
    deciders.define(schedule_trigger(every=3600))
    seen = deciders.storage.triggers.glance()
    assert seen.next_tick is not None
    assert seen.next_tick < seen.now
    deciders.scheduler.tick(deciders.world.lease)
    seen = deciders.storage.triggers.glance()
    assert seen.next_tick is not None
    assert seen.now < seen.next_tick <= seen.now + timedelta(hours=1)
    assert (seen.undecided, seen.gathering) == (False, False)
    _let_pass(url, deciders, timedelta(hours=1))
    deciders.scheduler.tick(deciders.world.lease)
    deciders.scheduler.tick(deciders.world.lease)
    assert deciders.decide().runs == 1
    [run] = deciders.runs()
    origin = run.body["origin"]
    assert run.body["logical_date"] == origin["data_interval_end"]
    assert origin["kind"] == "schedule"
    assert run.actor == "trigger:schedule"


def test_two_leaders_that_see_the_same_tick_make_one_run(deciders: Deciders, url: str) -> None:
    deciders.define(schedule_trigger(every=3600))
    deciders.scheduler.tick(deciders.world.lease)
    _let_pass(url, deciders, timedelta(hours=1))
    rows = deciders.storage.triggers.due(10)
    deciders.scheduler.tick(deciders.world.lease)
    deciders.scheduler._see_to(deciders.world.lease, rows)  # what a slower one had read before
    deciders.decide()
    assert len(deciders.runs()) == 1


@pytest.mark.parametrize(("missed", "runs"), [("all", 5), ("latest", 1), ("none", 0)])
def test_missed_ticks(deciders: Deciders, url: str, missed: str, runs: int) -> None:
    deciders.define(schedule_trigger(every=86400, missed=missed))
    deciders.scheduler.tick(deciders.world.lease)
    _let_pass(url, deciders, timedelta(days=5))
    deciders.scheduler.tick(deciders.world.lease)
    deciders.decide()
    # Should a day begin this very minute, there is one more in time.
    assert len(deciders.runs()) in (runs, runs + 1)


def test_a_schedule_that_is_paused_is_not_due(deciders: Deciders, url: str) -> None:
    deciders.define(schedule_trigger(every=60))
    deciders.storage.triggers.pause(TEAM, "daily", "schedule", actor="ann")
    assert deciders.storage.triggers.due(10) == []
    assert deciders.storage.triggers.glance().next_tick is None


def _let_pass(url: str, deciders: Deciders, length: timedelta) -> None:
    """Move the schedules' memory back, as if so much time had passed."""
    [row] = deciders.storage.triggers.listing(None)
    assert row.next_at is not None
    engine = create_engine(url)
    stamp = (lambda t: t) if engine.dialect.name == "postgresql" else _as_text
    with engine.begin() as connection:
        last = (row.last_at or row.since) - length
        given = {"last": stamp(last), "next": stamp(row.next_at - length)}
        connection.execute(text("UPDATE trigger SET last_at = :last, next_at = :next"), given)
    engine.dispose()


def _as_text(moment: Any) -> str:
    return str(moment.isoformat(timespec="microseconds"))


# --- lists ---------------------------------------------------------------------------------------


def test_events_are_listed_newest_first_with_their_decisions(deciders: Deciders) -> None:
    deciders.define(event_trigger(**{"if": "event.data.n > 1"}))
    ids = deciders.send(*(deciders.event(data={"n": n}) for n in range(3)))
    deciders.decide()
    events = deciders.storage.events
    rows, following = events.listing(EventFilter([TEAM], 2))
    assert [row["id"] for row in rows] == ids[:0:-1]
    assert rows[0]["decisions"][0]["outcome"] == "matched"
    assert following is not None
    rest, end = events.listing(EventFilter(None, 2, following))
    assert [row["id"] for row in rest] == ids[:1]
    assert end is None
    matched, _ = events.listing(EventFilter(None, 9, outcome="matched", pipeline="daily"))
    assert [row["id"] for row in matched] == ids[2:]
    assert events.listing(EventFilter(["others"], 9)) == ([], None)
    assert events.listing(EventFilter(None, 9, type="no.such"))[0] == []


def test_a_webhook_says_which_names_it_listens_to(deciders: Deciders) -> None:
    hook = {"source": "github", "name": "shop", "events": ["push"], "secret": ["secret://x"]}
    deciders.define(trigger("webhook", webhook=hook))
    form = kept_form(deciders.event("com.github.push", name="push"), NOW)
    push = NewEvent("h1", TEAM, "webhook", "github/shop", "h1", "hook", form)
    other = replace(push, id="h2", dedupe="h2", event={**form, "name": "issues.opened"})
    foreign = replace(push, id="h3", dedupe="h3", team="others")
    deciders.storage.events.add([push, other, foreign])
    deciders.decide()
    assert deciders.outcomes("h1") == [("webhook", "matched", None)]
    assert deciders.outcomes("h2") == [
        ("webhook", "filtered", "listens to push; this is issues.opened")
    ]
    assert deciders.outcomes("h3") == []


def test_old_events_are_forgotten_but_for_those_that_wait(deciders: Deciders) -> None:
    deciders.define(event_trigger("com.example.*", batch={"size": 3, "within": 3600}))
    deciders.define(event_trigger("org.*"), pipeline="other")
    [waits] = deciders.send(deciders.event())
    [done] = deciders.send(deciders.event("org.example"))
    deciders.decide()
    [fresh] = deciders.send(deciders.event("org.example"))
    events = deciders.storage.events
    assert events.forget(timedelta(hours=1), 10) == 0
    assert events.forget(timedelta(hours=-1), 10) == 1
    assert [events.get(id) is None for id in (waits, done, fresh)] == [False, True, False]
    assert events.decisions(done) == []


# --- what runs tell ------------------------------------------------------------------------------


def upstream_trigger(kind: str, **body: Any) -> dict[str, Any]:
    keys: dict[str, Any] = {kind: body}
    return trigger(kind, **keys)


def told(deciders: Deciders, *visible_to: str, id: str = "r1") -> list[NewEvent]:
    """Tell that a run of the team's pipeline `daily` has ended, and what it made."""
    state = world_state(id, status=RunStatus.SUCCEEDED, finished_at=NOW)
    made = replace(state.plan.steps[0], produces=("s3://raw/sales",))
    plan = replace(
        state.plan,
        steps=(made, *state.plan.steps[1:]),
        by_key={**state.plan.by_key, made.key: made},
        produces=True,
        visible_to=visible_to,
    )
    state.plan = plan
    touched = Touched(state, run_before=state.run)
    done = Step(made.key, StepStatus.SUCCEEDED, attempts=1, outputs={"rows": 3}, finished_at=NOW)
    touched.moves[made.key] = StepMoved(state.steps[made.key], done)
    batch = Batch(NOW, lambda run: None)
    batch.touched[id] = touched
    return telling.told(batch, deciders.clock)


def tell(deciders: Deciders, events: list[NewEvent]) -> int:
    with deciders.storage.advancing(deciders.world.lease) as transaction:
        transaction.tell(events)
        settle(transaction)
        return transaction.heard


def test_the_end_of_a_run_is_kept_if_somebody_listens(deciders: Deciders) -> None:
    ended = [e for e in told(deciders) if e.origin == "pipeline"]
    assert tell(deciders, ended) == 0
    deciders.define(
        upstream_trigger("pipeline", name="daily", on=["succeeded", "failed"]), pipeline="next"
    )
    assert tell(deciders, ended) == 1
    assert tell(deciders, ended) == 0  # the same end again
    deciders.decide()
    [run] = deciders.runs()
    assert run.body["pipeline"] == "next"
    assert run.body["origin"]["depth"] == 1


def test_a_trigger_hears_the_ends_that_it_names(deciders: Deciders) -> None:
    deciders.define(upstream_trigger("pipeline", name="daily", on=["failed"]), pipeline="next")
    [ended] = [e for e in told(deciders) if e.origin == "pipeline"]
    tell(deciders, [ended])
    deciders.decide()
    assert deciders.outcomes(ended.id) == [
        ("pipeline", "filtered", "listens to runs that failed; this one succeeded")
    ]


def test_an_asset_is_kept_and_starts_who_waits_for_it(deciders: Deciders) -> None:
    deciders.define(upstream_trigger("asset", any=["s3://raw/sales", "s3://x"]), pipeline="next")
    updated = [e for e in told(deciders) if e.origin == "asset"]
    assert tell(deciders, updated) == 1
    deciders.decide()
    assert [run.body["pipeline"] for run in deciders.runs()] == ["next"]


def test_all_of_several_assets_start_one_run(deciders: Deciders) -> None:
    both = ["s3://raw/sales", "s3://raw/costs"]
    deciders.define(upstream_trigger("asset", all=both), pipeline="next")
    [sales] = [e for e in told(deciders) if e.origin == "asset"]
    again = replace(sales, id="again", dedupe="again")
    costs = replace(sales, id="costs", dedupe="costs", subject=both[1])
    tell(deciders, [sales, again])
    deciders.decide()
    assert deciders.decider.fire(deciders.world.lease)[0].runs == 0
    tell(deciders, [costs])
    deciders.decide()
    assert deciders.decider.fire(deciders.world.lease)[0].runs == 1
    [run] = deciders.runs()
    assert run.body["origin"]["events"] == 3
    assert deciders.storage.events.gathered() == []


@pytest.mark.parametrize(("visible_to", "started"), [((), 0), (("risk",), 1), (("*",), 1)])
def test_another_team_hears_what_the_producer_lets_it(
    deciders: Deciders, visible_to: tuple[str, ...], started: int
) -> None:
    name = f"{TEAM}/daily"
    deciders.define(upstream_trigger("asset", any=["s3://raw/sales"]), pipeline="a", team="risk")
    deciders.define(
        upstream_trigger("pipeline", name=name, on=["succeeded"]), pipeline="b", team="risk"
    )
    events = told(deciders, *visible_to)
    tell(deciders, events)
    deciders.decide()
    assert len(deciders.runs()) == 2 * started
    for event in events:
        [(_, outcome, reason)] = deciders.outcomes(event.id)
        assert outcome == ("matched" if started else "refused")
        assert started or "visible_to" in str(reason)
