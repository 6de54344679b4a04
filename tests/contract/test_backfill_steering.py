"""Backfills that are paused, cancelled and retried, and whose leaders change: no run is doubled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import create_engine, text

from headway_coordinator.application.ports import (
    LeaseLost,
    Storage,
)
from headway_coordinator.engine.model import RunMoved
from headway_coordinator.engine.states import RunStatus
from tests.contract.deciders import schedule_trigger
from tests.contract.lanes import Lane
from tests.contract.test_races import waits_for
from tests.contract.world import TEAM, World


def test_a_pause_starts_no_more_and_goes_on_later(lane: Lane) -> None:
    id = lane.start(3)
    lane.fire()
    assert lane.backfills.steer(id, before="running", after="paused", actor="ann")
    assert not lane.backfills.steer(id, before="running", after="paused", actor="ann")
    lane.end(*lane.take_in())
    assert lane.fire() == 0
    assert lane.backfills.steer(id, before="paused", after="running", actor="bob")
    assert lane.fire() == 1
    rows, _ = lane.storage.queries.audit(run=None, teams=[TEAM], limit=3, cursor=None)
    assert [row["transitions"][0]["to"] for row in rows] == ["running", "paused", "running"]
    assert [row["actor"] for row in rows] == ["bob", "ann", "ann"]


def test_a_lane_is_made_wider_and_narrower(lane: Lane) -> None:
    id = lane.start(9)
    assert lane.fire() == 2
    assert lane.backfills.set_lane(id, max_in_flight=4, actor="bob") == 2
    assert lane.fire() == 2
    assert lane.backfills.set_lane(id, max_in_flight=3, actor="eve") == 4
    first, second, *_ = lane.take_in()
    lane.end(first)
    assert lane.fire() == 0  # three are under way still
    lane.end(second)
    assert lane.fire() == 1
    assert lane.backfills.set_lane(id, max_in_flight=3, actor="eve") == 3  # changes nothing
    rows, _ = lane.storage.queries.audit(run=None, teams=[TEAM], limit=2, cursor=None)
    lanes = [(row["actor"], row["transitions"][0]["max_in_flight"]) for row in rows]
    assert lanes == [("eve", [4, 3]), ("bob", [2, 4])]


def test_the_counts_for_metrics(lane: Lane) -> None:
    lane.start(5)
    paused, cancelled = lane.start(3), lane.start(4)
    lane.fire()
    lane.backfills.steer(paused, before="running", after="paused", actor="ann")
    lane.backfills.cancel(cancelled, actor="ann", reason=None, keep_running=True)
    counts = lane.storage.queries.counts()
    assert counts["running backfills"] == {"waiting": 3, "in_flight": 2}
    assert counts["paused backfills"] == {"waiting": 1, "in_flight": 2}
    assert counts.keys() == {"runs", "steps", "running backfills", "paused backfills"}


def test_the_lane_of_one_that_has_ended_stays(lane: Lane) -> None:
    id = lane.start(1)
    lane.backfills.cancel(id, actor="ann", reason=None, keep_running=True)
    assert lane.backfills.set_lane(id, max_in_flight=4, actor="bob") is None
    assert lane.backfills.set_lane("nope", max_in_flight=4, actor="bob") is None
    assert lane.one(id).wanted.max_in_flight == 2


def test_what_was_decided_for_a_wider_lane_does_not_hold_after_it(lane: Lane) -> None:
    id = lane.start(5, max_in_flight=5)
    before = lane.one(id)
    stale = lane.backfiller._step(before, [])
    lane.backfills.set_lane(id, max_in_flight=1, actor="ann")
    assert not lane.backfiller._take(lane.world.lease, before, stale)
    assert lane.asked() == []
    assert lane.fire() == 1


def test_what_was_decided_before_a_pause_does_not_hold_after_it(lane: Lane) -> None:
    id = lane.start(3)
    stale = lane.backfiller._step(lane.one(id), [])
    lane.backfills.steer(id, before="running", after="paused", actor="ann")
    assert not lane.backfiller._take(lane.world.lease, lane.one(id), stale)
    assert lane.asked() == []
    assert lane.states(id) == ["waiting"] * 3


def test_a_cancel_asks_the_open_runs_to_stop(lane: Lane) -> None:
    id = lane.start(5, max_in_flight=3)
    lane.fire()
    first, second, third = lane.take_in()
    lane.end(first)
    assert lane.backfills.cancel(id, actor="bob", reason="wrong", keep_running=False) == 2
    asked = [(e.kind, e.run, e.body["reason"]) for e in lane.storage.inbox.pending()]
    assert sorted(asked) == sorted([("cancel", second, "wrong"), ("cancel", third, "wrong")])
    assert lane.backfills.cancel(id, actor="bob", reason=None, keep_running=False) is None
    assert lane.fire() == 0
    cancelled = lane.one(id)
    assert (cancelled.state, cancelled.reason) == ("cancelled", "wrong")
    assert lane.backfills.retry(id, actor="ann") is None


def test_a_cancel_that_keeps_what_runs(lane: Lane) -> None:
    id = lane.start(5)
    lane.fire()
    lane.take_in()
    assert lane.backfills.cancel(id, actor="bob", reason=None, keep_running=True) == 0
    assert lane.storage.inbox.pending() == []


def test_a_run_that_is_not_made_yet_is_cancelled_behind_the_wish_for_it(lane: Lane) -> None:
    id = lane.start(1)
    lane.fire()
    assert lane.backfills.cancel(id, actor="bob", reason=None, keep_running=False) == 1
    wish, cancel = lane.storage.inbox.pending()
    assert (wish.kind, cancel.kind, wish.run) == ("run", "cancel", cancel.run)


def test_a_retry_makes_new_runs_of_what_did_not_succeed(lane: Lane) -> None:
    id = lane.start(4, max_in_flight=4)
    lane.fire()
    runs = lane.take_in()
    lane.end(runs[0])
    lane.end(runs[1], state=RunStatus.FAILED)
    lane.end(runs[2], runs[3], state=RunStatus.CANCELLED)
    lane.fire()
    assert lane.one(id).state == "done"
    assert lane.backfills.retry(id, actor="ann") == 3
    assert lane.backfills.retry(id, actor="ann") == 0
    assert lane.states(id) == ["succeeded", "waiting", "waiting", "waiting"]
    assert (lane.one(id).state, lane.one(id).ended_at) == ("running", None)
    assert lane.run_all() == 3
    assert lane.states(id) == ["succeeded"] * 4
    assert lane.one(id).state == "done"


def test_a_run_that_is_retried_by_itself_meanwhile_keeps_its_date(
    postgres_world: World, postgres_url: str
) -> None:
    lane = Lane(postgres_world)
    lane.deciders.define(schedule_trigger(every=86400))
    id = lane.start(1)
    lane.fire()
    [failed] = lane.take_in()
    lane.end(failed, state=RunStatus.FAILED)
    before = lane.world.load(failed).run
    again = replace(before, status=RunStatus.RUNNING, finished_at=None)
    retried = waits_for(
        lane.world,
        postgres_url,
        lambda: lane.backfills.retry(id, actor="ann"),
        lambda transaction: transaction.move_runs([RunMoved(before, again)]),
    )
    assert retried == 0
    assert lane.states(id) == ["running"]


def test_a_retry_of_a_running_one_leaves_what_goes_on(lane: Lane) -> None:
    id = lane.start(3)
    lane.fire()
    failed, _ = lane.take_in()
    lane.end(failed, state=RunStatus.FAILED)
    stale = lane.backfiller._step(lane.one(id), lane.backfills.open_dates([id]))
    assert lane.backfills.retry(id, actor="ann") == 1
    # What a leader had read before is refused: that run is this date's no more.
    assert not lane.backfiller._take(lane.world.lease, lane.one(id), stale)
    assert lane.fire() == 1
    assert lane.states(id) == ["queued", "running", "waiting"]


# --- leaders -------------------------------------------------------------------------------------


def test_a_new_leader_goes_on_where_the_old_one_was(
    lane: Lane, url: str, opened: Callable[[str], Storage]
) -> None:
    id = lane.start(6)
    lane.fire()
    stale = lane.backfiller._step(lane.one(id), [])  # would start day 3 and 4
    old = lane.world.lease
    lane.storage.leases.release(old)
    second = World(opened(url))
    follower = Lane(second)
    lane.world.lease = second.lease
    with pytest.raises(LeaseLost):
        lane.backfiller._take(old, lane.one(id), stale)
    assert follower.fire() == 0
    follower.end(*follower.take_in())
    assert follower.run_all() == 4
    assert follower.states(id) == ["succeeded"] * 6
    engine = create_engine(url)
    with engine.connect() as connection:
        counted = text("SELECT count(*), count(DISTINCT logical_date) FROM run")
        assert tuple(connection.execute(counted).one()) == (6, 6)
    engine.dispose()


def test_the_same_dates_are_not_taken_twice(lane: Lane) -> None:
    id = lane.start(3)
    stale = lane.backfiller._step(lane.one(id), [])
    assert lane.fire() == 2
    assert not lane.backfiller._take(lane.world.lease, lane.one(id), stale)
    assert len(lane.asked()) == 2
