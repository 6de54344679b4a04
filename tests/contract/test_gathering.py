"""Triggers that gather events: one run for a batch, or for what came until it was quiet."""

from __future__ import annotations

from datetime import timedelta

from tests.contract.deciders import Deciders, event_trigger
from tests.contract.world import TEAM


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


def test_several_full_batches_start_one_right_after_the_other(deciders: Deciders) -> None:
    deciders.define(event_trigger(batch={"size": 3, "within": 3600}))
    deciders.send(*(deciders.event() for _ in range(7)))
    deciders.decide()
    for started in (1, 2):
        outcome, again = deciders.decider.fire(deciders.world.lease)
        assert (outcome.runs, len(deciders.runs())) == (1, started)
        assert again is not None
        assert again <= deciders.storage.sweeps.database_now(), "there may be more at once"
    outcome, again = deciders.decider.fire(deciders.world.lease)
    assert outcome.runs == 0
    assert again is not None
    assert again > deciders.storage.sweeps.database_now() + timedelta(minutes=50)


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
