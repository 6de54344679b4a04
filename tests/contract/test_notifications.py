"""The outbox: what a run's end leaves in it, recoveries, and the moves of those who send."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from headway_coordinator.application.notify_ports import (
    NewNotification,
    NotificationFilter,
    Tried,
)
from headway_coordinator.engine.model import RunMoved
from headway_coordinator.engine.states import RunStatus
from tests.contract.world import NOW, TEAM, World, state

SECOND = timedelta(seconds=1)


def note(run: str, event: str = "failed", **changed: Any) -> NewNotification:
    given: dict[str, Any] = {
        "id": f"n-{run}-{event}",
        "dedupe": f"{run}:0:0:{event}",
        "team": TEAM,
        "pipeline": "daily",
        "run": run,
        "event": event,
        "webhook": "https://user:pass@example.com/x?key=1",
        "body": {"event": event, "run": run, "reason": "ü\n"},
        **changed,
    }
    return NewNotification(**given)


def end(
    world: World, id: str, status: RunStatus, *notes: NewNotification, after: int = 1, **keys: Any
) -> None:
    """Make a run, and end it `after` seconds later with these notifications."""
    world.create(state(id, **keys))
    ended_at = NOW + after * SECOND
    with world.storage.advancing(world.lease) as transaction:
        [stored] = world.storage.runs.load([id])
        after_end = replace(stored.run, status=status, finished_at=ended_at)
        transaction.move_runs([RunMoved(stored.run, after_end)])
        transaction.note(notes)


def test_what_is_settled_and_old_is_forgotten(world: World) -> None:
    notifications = world.storage.notifications
    for number, run in enumerate(("sent", "dead", "again", "waits"), 1):
        end(world, run, RunStatus.FAILED, note(run), after=number)
    assert notifications.settle("n-sent-failed", 0, Tried())
    assert notifications.settle("n-dead-failed", 0, Tried("gone", None))
    assert notifications.settle("n-again-failed", 0, Tried("gone", None))
    assert notifications.retry("n-again-failed", actor="ann")
    assert notifications.forget(timedelta(hours=1), 10) == 0
    assert notifications.forget(timedelta(hours=-1), 1) == 1
    assert notifications.forget(timedelta(hours=-1), 10) == 1
    assert notifications.forget(timedelta(hours=-1), 10) == 0
    assert kept(world) == ["n-again-failed", "n-waits-failed"]


def kept(world: World) -> list[str]:
    found, _ = world.storage.notifications.listing(NotificationFilter(None, 100))
    return sorted(each.id for each in found)


def test_a_notification_is_kept_as_it_was_and_due_at_once(world: World) -> None:
    new = note("r1")
    end(world, "r1", RunStatus.FAILED, new)
    [due], following = world.storage.notifications.waiting(10)
    assert (due.id, due.team, due.pipeline, due.run, due.event) == (
        new.id,
        TEAM,
        "daily",
        "r1",
        "failed",
    )
    assert (due.webhook, due.body) == (new.webhook, new.body)
    assert (due.state, due.attempts, due.problem, due.tried_at) == ("waiting", 0, None, None)
    assert following is None


def test_the_same_end_is_told_of_once(world: World) -> None:
    end(world, "r1", RunStatus.FAILED, note("r1"))
    with world.storage.advancing(world.lease) as transaction:
        transaction.note([note("r1", id="another"), note("r1", "recovered", id="more")])
    assert "another" not in kept(world)


@pytest.mark.parametrize(
    ("before", "is_one"),
    [
        ([], False),
        ([RunStatus.FAILED], True),
        ([RunStatus.TIMED_OUT], True),
        ([RunStatus.SUCCEEDED], False),
        ([RunStatus.CANCELLED], False),
        ([RunStatus.FAILED, RunStatus.SUCCEEDED], False),
        ([RunStatus.SUCCEEDED, RunStatus.FAILED], True),
        ([RunStatus.FAILED, RunStatus.CANCELLED], False),
    ],
)
def test_a_recovery_follows_a_failure(world: World, before: list[RunStatus], is_one: bool) -> None:
    for number, status in enumerate(before):
        end(world, f"b{number}", status, after=number)
    end(world, "other", RunStatus.FAILED, after=40, pipeline="another")
    end(
        world, "r1", RunStatus.SUCCEEDED, note("r1", "recovered"), note("r1", "succeeded"), after=50
    )
    expected = ["n-r1-recovered", "n-r1-succeeded"] if is_one else ["n-r1-succeeded"]
    assert kept(world) == expected


def test_which_run_ended_last_counts_not_which_began_last(world: World) -> None:
    end(world, "early", RunStatus.FAILED, after=30, created_at=NOW - 60 * SECOND)
    end(world, "late", RunStatus.SUCCEEDED, after=10)
    world.create(state("open"))
    end(world, "after", RunStatus.SUCCEEDED, after=90)
    end(world, "r1", RunStatus.SUCCEEDED, note("r1", "recovered"), after=50)
    assert kept(world) == ["n-r1-recovered"]


def test_two_that_end_in_one_batch_see_each_other(world: World) -> None:
    world.create(state("r1"), state("r2"))
    runs = {each.run.id: each.run for each in world.storage.runs.load(["r1", "r2"])}
    ended = {
        "r1": replace(runs["r1"], status=RunStatus.FAILED, finished_at=NOW),
        "r2": replace(runs["r2"], status=RunStatus.SUCCEEDED, finished_at=NOW + SECOND),
    }
    with world.storage.advancing(world.lease) as transaction:
        transaction.move_runs([RunMoved(runs[id], ended[id]) for id in ended])
        transaction.note([note("r1"), note("r2", "recovered")])
    assert kept(world) == ["n-r1-failed", "n-r2-recovered"]


def test_a_run_that_failed_was_told_of_and_succeeds_after_a_retry_recovers(world: World) -> None:
    end(world, "r1", RunStatus.FAILED, note("r1"))
    end(world, "b1", RunStatus.SUCCEEDED, after=2)
    with world.storage.advancing(world.lease) as transaction:
        transaction.note([note("r1", "recovered", dedupe="r1:1:0:recovered")])
    assert kept(world) == ["n-r1-failed", "n-r1-recovered"]


def test_only_one_notes_how_a_try_ended(world: World) -> None:
    end(world, "r1", RunStatus.FAILED, note("r1"))
    box = world.storage.notifications
    assert box.settle("n-r1-failed", 0, Tried("no\x00pe", 60 * SECOND))
    assert not box.settle("n-r1-failed", 0, Tried())
    due, following = box.waiting(10)
    assert due == []
    assert following is not None
    assert following > world.storage.sweeps.database_now()
    found = box.get("n-r1-failed")
    assert found is not None
    assert (found.state, found.attempts) == ("waiting", 1)
    assert found.problem is not None
    assert "\x00" not in found.problem
    assert box.settle("n-r1-failed", 1, Tried())
    sent = box.get("n-r1-failed")
    assert sent is not None
    assert (sent.state, sent.attempts, sent.problem) == ("sent", 2, None)
    assert not box.settle("n-r1-failed", 2, Tried("late"))


def test_one_that_is_dead_may_be_retried_and_one_that_was_sent_not(world: World) -> None:
    end(world, "r1", RunStatus.FAILED, note("r1"))
    box = world.storage.notifications
    assert box.settle("n-r1-failed", 0, Tried("gone"))
    assert box.waiting(10) == ([], None)
    assert box.retry("n-r1-failed", actor="ann")
    [due], _ = box.waiting(10)
    assert (due.state, due.attempts) == ("waiting", 0)
    assert box.settle("n-r1-failed", 0, Tried())
    assert not box.retry("n-r1-failed", actor="ann")
    assert not box.retry("nobody", actor="ann")
    rows, _ = world.storage.queries.audit(run=None, teams=[TEAM], limit=10, cursor=None)
    entry = {"entity": "notification", "id": "n-r1-failed", "run": "r1", "to": "waiting"}
    assert [r["actor"] for r in rows if r["transitions"] == [entry]] == ["ann"]


def test_a_list_shows_what_is_asked_for_page_by_page(world: World) -> None:
    for number in range(5):
        end(world, f"r{number}", RunStatus.FAILED, note(f"r{number}"))
    box = world.storage.notifications
    box.settle("n-r3-failed", 0, Tried())

    def ids(**keys: Any) -> list[str]:
        found, following = box.listing(NotificationFilter(**{"teams": None, "limit": 2, **keys}))
        here = [each.id for each in found]
        return here if following is None else [*here, *ids(**{**keys, "cursor": following})]

    assert ids() == [f"n-r{number}-failed" for number in (4, 3, 2, 1, 0)]
    assert ids(state="sent") == ["n-r3-failed"]
    assert ids(teams=["others"]) == ids(pipeline="others") == []
    page, following = box.waiting(2)
    assert (len(page), following is None) == (2, False)


def test_what_is_left_out_leaves_its_place_to_others(world: World) -> None:
    hook = {"webhook": "secret://hook"}
    others = {"team": "others", **hook}
    for number, keys in enumerate([{}, hook, others, {}]):
        end(world, f"r{number}", RunStatus.FAILED, note(f"r{number}", **keys))
    box = world.storage.notifications
    page, following = box.waiting(2, but=["n-r0-failed"], not_to=[(TEAM, "secret://hook")])
    assert ([each.run for each in page], following) == (["r2", "r3"], None)
