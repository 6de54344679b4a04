"""Backfills: every date gets exactly one run, as far as the lane has room, whoever leads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from headway_coordinator.application.backfill_ports import (
    BackfillFilter,
    NewBackfill,
    StoredBackfill,
)
from headway_coordinator.application.backfilling import Backfiller
from headway_coordinator.application.conditions import Conditions
from headway_coordinator.application.ports import (
    InboxEntry,
    Lease,
    LeaseLost,
    PreconditionFailed,
    Storage,
)
from headway_coordinator.application.requests import requested_run
from headway_coordinator.engine.model import RunMoved, RunState
from headway_coordinator.engine.states import RunStatus
from headway_coordinator.schedule.backfilling import Date
from tests.contract.deciders import Deciders, InProcess, schedule_trigger
from tests.contract.world import TEAM, World, plan

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BODY = {"schedule": schedule_trigger(every=86400)["schedule"], "if": None, "params": {}}


class Lane:
    """A world in which a pipeline is backfilled."""

    def __init__(self, world: World) -> None:
        self.deciders = Deciders(world)
        self.world = world
        self.storage = world.storage
        self.backfills = world.storage.backfills
        self.backfiller = Backfiller(self.storage, Conditions(InProcess()), self.deciders.clock)
        self._number = 0

    def new(self, **keys: Any) -> NewBackfill:
        self._number += 1
        given: dict[str, Any] = {
            "id": f"b{self._number}",
            "team": TEAM,
            "pipeline": "daily",
            "trigger": "schedule",
            "dedupe": f"backfill:{self._number}",
            "request": "asked",
            "actor": "ann",
            "body": BODY,
            "params": {},
            "from_at": FIRST,
            "until_at": FIRST + 30 * DAY,
            "newest_first": False,
            "choice": "all",
            "priority": -100,
            "max_in_flight": 2,
            **keys,
        }
        return NewBackfill(**given)

    def start(self, count: int = 5, **keys: Any) -> str:
        stored, created = self.backfills.create(self.new(**keys), dates(count))
        assert created
        return stored.id

    def fire(self, lease: Lease | None = None) -> int:
        """Look until there is nothing to do at once; return how many runs were started."""
        started = 0
        while True:
            outcome, again = self.backfiller.fire(lease or self.world.lease)
            started += outcome.runs
            if again is None:
                return started

    def asked(self) -> list[InboxEntry]:
        return self.deciders.runs()

    def days(self) -> list[int]:
        """Return the days of January whose runs are asked for and not there yet, in order."""
        return [requested_run(entry).logical_date.day for entry in self.asked()]

    def take_in(self) -> list[str]:
        """Let the leader make the runs that are asked for; return their ids."""
        entries = self.asked()
        with self.storage.advancing(self.world.lease) as transaction:
            runs = [replace(requested_run(e), status=RunStatus.RUNNING) for e in entries]
            transaction.create_runs([RunState.of(plan(), run, []) for run in runs])
            transaction.mark_applied([(e.id, "created") for e in entries])
        return [e.run for e in entries]

    def end(self, *runs: str, state: RunStatus = RunStatus.SUCCEEDED) -> None:
        with self.storage.advancing(self.world.lease) as transaction:
            before = [self.world.load(run).run for run in runs]
            transaction.move_runs(
                [RunMoved(run, replace(run, status=state, finished_at=FIRST)) for run in before]
            )

    def run_all(self) -> int:
        """Let everything run until there is nothing left; return how many runs that took."""
        count = 0
        while self.fire() or self.asked():
            runs = self.take_in()
            self.end(*runs)
            count += len(runs)
        return count

    def one(self, id: str) -> StoredBackfill:
        found = self.backfills.get(id)
        assert found is not None
        return found

    def states(self, id: str) -> list[str]:
        rows, _ = self.backfills.dates(self.one(id), 100, None)
        return [row["state"] for row in rows]


def dates(count: int) -> list[Date]:
    ticks = [FIRST + number * DAY for number in range(count)]
    return [Date(tick, tick - DAY, tick) for tick in ticks]


@pytest.fixture
def lane(world: World) -> Lane:
    lane = Lane(world)
    lane.deciders.define(schedule_trigger(every=86400))
    return lane


def test_a_lane_holds_as_many_runs_as_it_has_room_for(lane: Lane) -> None:
    id = lane.start(5)
    assert lane.fire() == 2
    assert lane.fire() == 0
    assert lane.days() == [1, 2]
    first, _ = lane.take_in()
    assert lane.fire() == 0
    lane.end(first)
    assert lane.fire() == 1
    assert lane.days() == [3]
    assert lane.states(id) == ["succeeded", "running", "queued", "waiting", "waiting"]


def test_each_date_gets_one_run_and_then_it_is_done(lane: Lane) -> None:
    id = lane.start(5)
    assert lane.run_all() == 5
    assert lane.states(id) == ["succeeded"] * 5
    done = lane.one(id)
    assert (done.state, done.ended_at is not None) == ("done", True)
    assert lane.backfills.progress([id]) == {id: {"succeeded": 5}}
    assert lane.backfills.running() == []


def test_a_run_knows_its_date_its_interval_and_its_lane(lane: Lane) -> None:
    id = lane.start(1, params={"file": "a.csv"})
    lane.fire()
    [entry] = lane.asked()
    run = requested_run(entry)
    assert run.logical_date == FIRST
    assert run.origin == {
        "kind": "backfill",
        "backfill": id,
        "data_interval_start": "2025-12-31T00:00:00.000Z",
        "data_interval_end": "2026-01-01T00:00:00.000Z",
    }
    assert (run.actor, run.priority, run.params) == ("ann", -100, {"file": "a.csv"})


def test_the_newest_date_may_come_first(lane: Lane) -> None:
    id = lane.start(5, newest_first=True)
    lane.fire()
    assert lane.days() == [5, 4]
    page, following = lane.backfills.dates(lane.one(id), 3, None)
    assert [row["logical_date"].day for row in page] == [5, 4, 3]
    rest, end = lane.backfills.dates(lane.one(id), 3, following)
    assert [row["logical_date"].day for row in rest] == [2, 1]
    assert end is None


def test_more_room_than_one_transaction_takes(lane: Lane) -> None:
    lane.start(130, max_in_flight=120)
    assert lane.fire() == 120


def test_the_triggers_params_and_condition_count_as_for_its_ticks(lane: Lane) -> None:
    body = {
        **BODY,
        "if": "run.logical_date.getDate() != 2",
        "params": {"file": "${{ run.data_interval_start }}/${{ event.name }}"},
    }
    id = lane.start(3, body=body, max_in_flight=9)
    lane.fire()
    assert lane.days() == [1, 3]
    assert lane.states(id) == ["queued", "filtered", "queued"]
    assert lane.deciders.params()[0] == "2025-12-31T00:00:00.000Z/tick"
    lane.end(*lane.take_in())
    assert lane.run_all() == 0
    assert lane.one(id).state == "done"
    assert lane.backfills.retry(id, actor="ann") == 0


def test_a_date_whose_params_do_not_fit_is_refused_and_holds_up_nobody(lane: Lane) -> None:
    body = {**BODY, "params": {"file": "${{ event.none }}"}}
    id = lane.start(5, body=body, max_in_flight=1)
    assert lane.fire() == 0
    assert lane.states(id) == ["refused"] * 5
    rows, _ = lane.backfills.dates(lane.one(id), 1, None)
    assert rows[0]["reason"].startswith("params: `event` has no `none`")
    assert lane.one(id).state == "done"


def test_a_run_that_the_leader_refuses_leaves_its_place(lane: Lane) -> None:
    id = lane.start(2, max_in_flight=1)
    lane.fire()
    [entry] = lane.asked()
    with lane.storage.advancing(lane.world.lease) as transaction:
        transaction.mark_applied([(entry.id, "refused: no such plan")])
    assert lane.fire() == 1
    assert lane.states(id) == ["refused", "queued"]


def test_a_run_that_is_set_aside_leaves_its_place(lane: Lane) -> None:
    id = lane.start(2, max_in_flight=1)
    lane.fire()
    [run] = lane.take_in()
    with lane.storage.advancing(lane.world.lease) as transaction:
        transaction.quarantine(run, "a defect")
    assert lane.fire() == 1
    assert lane.states(id) == ["quarantined", "queued"]


# --- what is chosen ------------------------------------------------------------------------------


def with_earlier_runs(lane: Lane) -> None:
    """Day 1 succeeded, 2 failed, 3 is under way, 4 is asked for; 5 succeeded, and failed later."""
    lane.start(5, max_in_flight=3)
    lane.fire()
    first, second, _ = lane.take_in()
    lane.end(first)
    lane.end(second, state=RunStatus.FAILED)
    lane.fire()
    lane.end(lane.take_in()[1])
    lane.backfills.cancel("b1", actor="ann", reason=None, keep_running=True)
    # Of day 5 alone there is another run, which failed.
    created, _ = lane.backfills.create(lane.new(max_in_flight=1), dates(5)[4:])
    lane.fire()
    lane.end(*lane.take_in(), state=RunStatus.TIMED_OUT)
    lane.fire()
    assert lane.one(created.id).state == "done"


@pytest.mark.parametrize(("only", "days"), [("missing", [2, 6]), ("failed", [2, 5])])
def test_only_what_is_missing_or_failed(lane: Lane, only: str, days: list[int]) -> None:
    with_earlier_runs(lane)
    stored, _ = lane.backfills.create(lane.new(choice=only), dates(6))
    rows, _ = lane.backfills.dates(stored, 9, None)
    assert [row["logical_date"].day for row in rows] == days


def test_nothing_is_kept_if_nothing_is_chosen(lane: Lane) -> None:
    lane.start(3)
    new = lane.new(choice="missing")  # the other one is still to run them
    with pytest.raises(PreconditionFailed):
        lane.backfills.create(new, dates(3))
    assert lane.backfills.get(new.id) is None


def test_two_at_once_that_want_what_is_missing_share_no_date(lane: Lane) -> None:
    barrier = Barrier(4)
    created: list[str] = []

    def create(new: NewBackfill) -> None:
        barrier.wait()
        try:
            created.append(lane.backfills.create(new, dates(20))[0].id)
        except PreconditionFailed:
            pass

    news = [lane.new(choice="missing") for _ in range(4)]
    threads = [Thread(target=create, args=[new]) for new in news]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(created) == 1


def test_the_same_key_is_the_same_backfill(lane: Lane) -> None:
    new = lane.new()
    assert lane.backfills.create(new, dates(3))[1]
    again, created = lane.backfills.create(replace(new, id="other"), dates(3))
    assert (again.id, created) == (new.id, False)
    assert lane.backfills.get("other") is None


def test_ten_thousand_dates_are_one_transaction(lane: Lane) -> None:
    id = lane.start(10_000)
    assert lane.backfills.progress([id]) == {id: {"waiting": 10_000}}
    assert lane.fire() == 2


# --- steering ------------------------------------------------------------------------------------


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


def test_backfills_are_listed_newest_first(lane: Lane) -> None:
    ids = [lane.start(1) for _ in range(3)]
    page, following = lane.backfills.listing(BackfillFilter([TEAM], 2))
    assert [each.id for each in page] == ids[:0:-1]
    rest, end = lane.backfills.listing(BackfillFilter(None, 2, following))
    assert ([each.id for each in rest], end) == (ids[:1], None)
    assert lane.backfills.listing(BackfillFilter(["others"], 2)) == ([], None)
    lane.backfills.steer(ids[0], before="running", after="paused", actor="ann")
    paused, _ = lane.backfills.listing(BackfillFilter(None, 9, pipeline="daily", state="paused"))
    assert [each.id for each in paused] == ids[:1]
