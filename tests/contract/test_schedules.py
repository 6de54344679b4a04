"""Schedules: each tick is one event, whoever looks at it and however late."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tests.contract.deciders import Deciders, schedule_trigger
from tests.contract.world import TEAM


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


def test_a_tick_that_was_found_before_a_pause_starts_nothing_after_it(
    deciders: Deciders, url: str
) -> None:
    deciders.define(schedule_trigger(every=3600))
    deciders.scheduler.tick(deciders.world.lease)
    _let_pass(url, deciders, timedelta(hours=1))
    rows = deciders.storage.triggers.due(10)
    deciders.storage.triggers.pause(TEAM, "daily", "schedule", actor="ann")
    deciders.scheduler._see_to(deciders.world.lease, rows)
    assert deciders.storage.events.undecided(10) == []
    # It is a missed one when the schedule goes on, as any other of the time in between.
    deciders.storage.triggers.resume(TEAM, "daily", "schedule", actor="ann")
    assert [row.last_at for row in deciders.storage.triggers.due(10)] == [rows[0].last_at]


def test_what_was_found_of_an_earlier_schedule_moves_no_later_one(deciders: Deciders) -> None:
    deciders.define(schedule_trigger(every=86400 * 365))
    rows = deciders.storage.triggers.due(10)
    deciders.define(schedule_trigger(every=60))  # neither was looked at yet: the times are the same
    deciders.scheduler._see_to(deciders.world.lease, rows)
    deciders.scheduler.tick(deciders.world.lease)
    seen = deciders.storage.triggers.glance()
    assert seen.next_tick is not None
    assert seen.next_tick - seen.now <= timedelta(minutes=1)


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
