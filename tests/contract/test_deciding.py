"""Events meet triggers: exactly one run for each accepted event and matching trigger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from headway_coordinator.access.cipher import Cipher
from headway_coordinator.access.roles import Identity
from headway_coordinator.application.ports import (
    LeaseLost,
    PreconditionFailed,
    Storage,
    StorageUnavailable,
)
from headway_coordinator.application.receiving import Receiver, kept_form
from headway_coordinator.application.secrets import Secrets
from headway_coordinator.application.trigger_ports import (
    Decision,
    EventFilter,
    NewEvent,
    WantedRun,
)
from headway_coordinator.triggers.event import MAX_ID, MAX_TEXT
from tests.contract.deciders import NOW, Deciders, event_trigger, trigger, wild
from tests.contract.world import TEAM, World


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


def test_an_event_that_is_forgotten_while_it_comes_again_is_to_be_sent_again(
    deciders: Deciders, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = deciders.event()
    deciders.send(event)
    events: Any = deciders.storage.events
    add = events._add

    class Forgetting:
        def __init__(self, connection: Any) -> None:
            self._connection = connection

        def execute(self, statement: Any, *given: Any) -> Any:
            answer = self._connection.execute(statement, *given)
            if given:  # the insert, which found it there
                self._connection.execute(text("DELETE FROM event"))
            return answer

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(events, "_add", lambda c, new: add(Forgetting(c), new))
        with pytest.raises(StorageUnavailable, match="send it again"):
            deciders.send(event)
    [id] = deciders.send(event)
    assert deciders.storage.events.get(id) is not None


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


# --- keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("id", "source"), [(MAX_ID, MAX_TEXT), (400, 400)])
def test_an_event_with_long_names_is_kept_once(deciders: Deciders, id: int, source: int) -> None:
    deciders.define(event_trigger())
    identity = Identity("t1", "ann", None, "operator", "f")
    receiver = Receiver(
        deciders.storage, Secrets(deciders.storage, Cipher(b"k")), deciders.clock, {}
    )
    deciders.storage.access.add_team(TEAM, "ann")
    event = deciders.event(id=wild(id), source=wild(source)[::-1])
    [first] = receiver.events(identity, TEAM, [event])
    [again] = receiver.events(identity, TEAM, [event])
    assert (first.created, again.created, again.id) == (True, False, first.id)


def test_a_trigger_may_listen_to_the_longest_type(deciders: Deciders) -> None:
    type = wild(MAX_TEXT)
    deciders.define(event_trigger(type))
    deciders.send(deciders.event(type))
    assert deciders.decide().runs == 1


def test_a_dedupe_key_of_any_length_holds_up_nobody(deciders: Deciders) -> None:
    deciders.define(event_trigger(dedupe={"key": "${{ event.data.ref }}", "window": 3600}))
    long = wild(1000)
    refs = [long, long, long + "b", "a\x00", "short"]
    ids = deciders.send(*(deciders.event(data={"ref": ref}) for ref in refs))
    deciders.decide()
    deciders.decide()
    assert [deciders.outcomes(id)[0][1] for id in ids] == [
        "matched",
        "duplicate",
        "matched",
        "matched",
        "matched",
    ]


@pytest.mark.postgres
def test_what_no_index_takes_is_refused_and_not_waited_for(
    postgres_url: str, opened: Callable[[str], Storage]
) -> None:
    deciders = Deciders(World(opened(postgres_url)))
    form = kept_form(deciders.event(), NOW)
    huge = NewEvent("h1", TEAM, "cloudevent", "t", wild(1000), "ann", form)
    with pytest.raises(PreconditionFailed):
        deciders.storage.events.add([huge])
