"""Schedules: each tick is one event, whoever looks at it and however late."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from structlog.testing import capture_logs

from headway_coordinator.access.cipher import Cipher
from headway_coordinator.access.roles import Identity
from headway_coordinator.application.secrets import Secrets
from headway_coordinator.application.triggering import listed_triggers
from tests.contract.deciders import Deciders, schedule_trigger, trigger
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


def _let_pass(url: str, deciders: Deciders, length: timedelta, *, pipeline: str = "daily") -> None:
    """Move the schedule's memory back, as if so much time had passed."""
    [row] = deciders.storage.triggers.of_pipeline(TEAM, pipeline)
    assert row.next_at is not None
    engine = create_engine(url)
    stamp = (lambda t: t) if engine.dialect.name == "postgresql" else _as_text
    with engine.begin() as connection:
        last = (row.last_at or row.since) - length
        given = {"last": stamp(last), "next": stamp(row.next_at - length), "of": pipeline}
        move = "UPDATE trigger SET last_at = :last, next_at = :next WHERE pipeline = :of"
        connection.execute(text(move), given)
    engine.dispose()


def _as_text(moment: Any) -> str:
    return str(moment.isoformat(timespec="microseconds"))


def test_a_schedule_that_cannot_be_read_stops_no_other(deciders: Deciders, url: str) -> None:
    deciders.define(schedule_trigger(every=3600), pipeline="good")
    deciders.define(schedule_trigger(cron="0 6 * * *", timezone="Mars/Olympus"), pipeline="zone")
    deciders.define(trigger("schedule", schedule={"lunar": 1}), pipeline="newer")
    with capture_logs() as logs:
        deciders.scheduler.tick(deciders.world.lease)
        deciders.scheduler.tick(deciders.world.lease)
    told = [line["trigger"] for line in logs if line["event"] == "schedule_unreadable"]
    assert sorted(told) == [f"{TEAM}/newer/schedule", f"{TEAM}/zone/schedule"]
    seen = deciders.storage.triggers.glance()
    assert seen.next_tick is not None
    assert seen.now < seen.next_tick <= seen.now + timedelta(minutes=1)  # not at once again
    _let_pass(url, deciders, timedelta(hours=1), pipeline="good")
    deciders.scheduler.tick(deciders.world.lease)
    deciders.decide()
    assert [run.body["pipeline"] for run in deciders.runs()] == ["good"]


def test_the_list_says_why_a_schedule_does_not_fire(deciders: Deciders) -> None:
    deciders.define(schedule_trigger(every=3600), pipeline="good")
    deciders.define(schedule_trigger(cron="0 6 * * *", timezone="Mars/Olympus"), pipeline="zone")
    deciders.define(trigger("schedule", schedule={"lunar": 1}), pipeline="newer")
    shown = {each["pipeline"]: each for each in _listed(deciders)}
    assert shown["good"]["problem"] is None
    assert len(shown["good"]["next"]) == 3
    assert shown["zone"]["next"] == []
    assert "Mars/Olympus" in shown["zone"]["problem"]["message"]
    assert shown["newer"]["problem"]["message"] == (
        "the schedule does not fire: a KeyError while it was read"
    )


def _listed(deciders: Deciders) -> list[dict[str, Any]]:
    ann = Identity("t", "ann", TEAM, "viewer", "f")
    secrets = Secrets(deciders.storage, Cipher(b"k"))
    return listed_triggers(deciders.storage, secrets, ann, None, None)
