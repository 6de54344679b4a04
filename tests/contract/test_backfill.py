"""Backfills: every date gets exactly one run, as far as the lane has room, whoever leads."""

from __future__ import annotations

from dataclasses import replace
from threading import Barrier, Thread
from typing import Any, cast

import pytest
from sqlalchemy import Connection

from headway_coordinator.application.backfill_ports import (
    BackfillFilter,
    NewBackfill,
)
from headway_coordinator.application.ports import (
    PreconditionFailed,
)
from headway_coordinator.application.requests import requested_run
from headway_coordinator.engine.model import StepMoved
from headway_coordinator.engine.states import RunStatus, StepStatus
from headway_coordinator.storage.backfill_reads import runs_of_dates
from headway_coordinator.storage.backfills import StoredBackfills
from tests.contract.lanes import BODY, DAY, FIRST, Lane, dates
from tests.contract.world import TEAM


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


def test_a_date_that_failed_says_what_its_run_and_the_blamed_step_said(lane: Lane) -> None:
    id = lane.start(3, max_in_flight=3)
    lane.fire()
    first, second, third = lane.take_in()
    with lane.storage.advancing(lane.world.lease) as transaction:
        said = {"code": "exit_status", "message": "exited with status 3\nand more"}
        before = lane.world.step(first, "extract")
        failed = replace(before, status=StepStatus.FAILED, reason="exit_status", error=said)
        transaction.move_steps([(first, StepMoved(before, failed))])
    lane.end(first, state=RunStatus.FAILED, reason="step extract failed")
    lane.end(second, state=RunStatus.TIMED_OUT, reason="it took too long")
    lane.end(third, reason="no reason to fail")
    rows, _ = lane.backfills.dates(lane.one(id), 100, None)
    assert [row["reason"] for row in rows] == [
        "step extract failed: exited with status 3",
        "it took too long",
        None,
    ]


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


@pytest.mark.parametrize("statements", [1, 2])
def test_a_date_that_goes_on_while_the_runs_are_read_is_not_missed(
    lane: Lane, statements: int
) -> None:
    """A statement sees what was committed before it: the leader may act between any two."""
    lane.start(1)

    class Between:
        """A connection between whose statements the leader acts."""

        def __init__(self, connection: Connection) -> None:
            self._connection = connection
            self._left = statements

        def execute(self, statement: Any) -> list[Any]:
            rows = list(self._connection.execute(statement))
            self._left -= 1
            if self._left == 0:
                lane.fire()
                if statements == 2:
                    lane.take_in()
            return rows

    database = cast("StoredBackfills", lane.backfills)._database
    with database.reading() as connection:
        between = cast("Connection", Between(connection))
        runs = runs_of_dates(between, TEAM, "daily", FIRST, FIRST + DAY)
    assert {run.logical_date for run in runs} == {FIRST}


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
