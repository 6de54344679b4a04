from __future__ import annotations

from headway_worker.roster import Entry, Roster
from headway_worker.stop import Stop, StopReason


def test_an_attempt_gets_one_slot_and_only_while_one_is_free() -> None:
    roster = Roster(2)
    assert roster.enter("a") is Entry.ENTERED
    assert roster.enter("a") is Entry.DOUBLED
    assert roster.enter("b") is Entry.ENTERED
    assert roster.enter("c") is Entry.FULL
    assert roster.enter("a") is Entry.DOUBLED, "also when no slot is free"
    roster.leave("a")
    assert roster.free() == 1
    assert roster.enter("a") is Entry.ENTERED


def test_only_won_claims_are_held() -> None:
    roster = Roster(2)
    roster.enter("a")
    assert roster.held() == []
    roster.hold("a", 7, 0.0, 60)
    assert [(held.attempt, held.fence) for held in roster.held()] == [("a", 7)]
    roster.release("a")
    assert roster.held() == []
    assert roster.free() == 1, "the slot is still taken"


def test_a_stop_reaches_the_work_whenever_it_is_attached() -> None:
    roster = Roster(1)
    roster.enter("a")
    stop = roster.hold("a", 1, 0.0, 60)
    roster.stop("a", StopReason.CANCELLED, 5.0)
    kills: list[float] = []
    stop.attach(kills.append)
    assert kills == [5.0]
    roster.stop_all(StopReason.LEASE_EXPIRED, 1.0)
    assert kills == [5.0, 1.0], "a quicker end goes through"
    assert stop.reason is StopReason.CANCELLED, "the first reason holds"


def test_a_slower_stop_and_one_after_the_end_change_nothing() -> None:
    stop = Stop()
    kills: list[float] = []
    stop.attach(kills.append)
    stop.request(StopReason.CANCELLED, 1.0)
    stop.request(StopReason.PREEMPTED, 2.0)
    stop.detach()
    stop.request(StopReason.PREEMPTED, 0.0)
    assert kills == [1.0]


def test_stopping_what_is_not_here_is_nothing() -> None:
    assert not Roster(1).stop("a", StopReason.CANCELLED, 1.0)


def test_each_attempt_has_a_lease_of_its_own() -> None:
    roster = Roster(3)
    stops = {a: roster.hold(a, 1, at, 60) for a, at in (("a", 0.0), ("b", 0.0), ("c", 30.0))}
    assert roster.first_end() == 55.0, "others may begin after 60 s"
    roster.renew(["b", "elsewhere"], 20.0, 60)
    roster.renew(["c"], 20.0, 60)
    assert roster.stop_over(54.9, StopReason.LEASE_EXPIRED, 1.0) == 0
    assert roster.stop_over(55.0, StopReason.LEASE_EXPIRED, 1.0) == 1
    assert [a for a, stop in stops.items() if stop.reason is not None] == ["a"]
    assert roster.stop_over(75.0, StopReason.LEASE_EXPIRED, 1.0) == 2
    assert stops["c"].reason is None, "an older renewal takes nothing back"


def test_a_lease_may_become_shorter() -> None:
    roster = Roster(2)
    roster.hold("a", 1, 0.0, 60)
    roster.renew(["a"], 10.0, 12)
    assert roster.first_end() == 19.0
    roster.hold("b", 1, 11.0, 4)
    assert roster.first_end() == 14.0
    roster.leave("a")
    roster.leave("b")
    assert roster.first_end() is None
