"""Contract of what people are shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from headway.errors import DefinitionError
from headway_coordinator.application.ports import RunFilter
from headway_coordinator.engine.model import Step, StepMoved
from headway_coordinator.engine.states import RunStatus, StepStatus
from headway_coordinator.storage import run_story
from tests.contract.world import NOW, QUEUE, TEAM, World, ended, registration, state


def accept(world: World, id: str, team: str = TEAM) -> None:
    body = {"team": team, "pipeline": "daily", "digest": "d1", "params": {"day": "x"}}
    world.storage.inbox.add(run=id, kind="run", dedupe=f"run:{id}", actor="ann", body=body)


def listed(world: World, **wanted: object) -> list[str]:
    rows, cursor = world.storage.queries.runs(RunFilter(**wanted))  # type: ignore[arg-type]
    assert cursor is None
    return [row["id"] for row in rows]


def test_runs_are_listed_newest_first_page_by_page(world: World) -> None:
    ages = [timedelta(microseconds=n) for n in (0, 5, 5, 100_000, 876_544)]
    world.create(*(state(f"r{n}", created_at=NOW + age) for n, age in enumerate(ages)))
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        rows, cursor = world.storage.queries.runs(RunFilter(limit=2, cursor=cursor))
        seen += [row["id"] for row in rows]
    assert seen == ["r4", "r3", "r2", "r1", "r0"]
    assert cursor is None


def test_runs_are_filtered(world: World) -> None:
    world.create(
        state("r1"),
        state("r2", status=RunStatus.FAILED, reason="why"),
        state("r3", pipeline="hourly"),
    )
    assert listed(world, states=["failed"]) == ["r2"]
    assert listed(world, pipeline="hourly") == ["r3"]
    assert listed(world, teams=[TEAM]) == ["r3", "r2", "r1"]
    assert listed(world, teams=["growth"]) == listed(world, teams=[]) == []


@pytest.mark.parametrize("cursor", ["", "x", "bm90aGluZw", "é", "MjAyNi0wMS0wMXxy"])
def test_a_wrong_cursor_is_the_users_mistake(world: World, cursor: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        world.storage.queries.runs(RunFilter(cursor=cursor))
    assert refused.value.code == "invalid_cursor"


def test_an_accepted_run_is_shown_as_queued_until_it_is_applied(world: World) -> None:
    accept(world, "r1")
    accept(world, "r2", team="growth")
    assert listed(world, teams=[TEAM]) == ["r1"]
    assert listed(world, states=["queued"], pipeline="daily") == ["r2", "r1"]
    assert listed(world, states=["running"]) == []
    shown = world.storage.queries.run("r1")
    assert shown is not None
    assert (shown["state"], shown["steps"], shown["params"]) == ("queued", [], {"day": "x"})
    first = world.storage.inbox.pending()[0]
    with world.storage.advancing(world.lease) as tx:
        tx.create_runs([state("r1")])
        tx.mark_applied([(first.id, "applied")])
    assert listed(world, teams=[TEAM]) == ["r1"]
    shown = world.storage.queries.run("r1")
    assert shown is not None
    assert shown["state"] == "running"


def test_a_run_that_is_applied_between_two_looks_is_never_shown_as_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(world, "r1")
    [entry] = world.storage.inbox.pending()
    look = run_story._accepting

    def applied_meanwhile(id: str) -> object:
        with world.storage.advancing(world.lease) as tx:
            tx.create_runs([state("r1")])
            tx.mark_applied([(entry.id, "applied")])
        return look(id)

    monkeypatch.setattr(run_story, "_accepting", applied_meanwhile)
    shown = world.storage.queries.run("r1")
    assert shown is not None
    assert shown["state"] in ("queued", "running")


def test_a_refused_run_is_shown_as_failed(world: World) -> None:
    accept(world, "r1")
    [entry] = world.storage.inbox.pending()
    with world.storage.advancing(world.lease) as tx:
        tx.mark_applied([(entry.id, "refused: no such definition")])
    shown = world.storage.queries.run("r1")
    assert shown is not None
    assert (shown["state"], shown["reason"]) == ("failed", "refused: no such definition")
    assert listed(world) == []


def test_a_run_is_shown_with_steps_and_attempts(world: World) -> None:
    canonical = {"team": TEAM, "pipeline": "daily", "owner": "ann@example.com"}
    world.storage.definitions.put(canonical=canonical, digest="d1", source="", actor="ann")
    world.create(state("r1", created_at=NOW + timedelta(days=36_500)))
    lost = world.running("r1", boot="b1")
    error = {"code": "infra_lost", "message": "gone"}
    before = world.step("r1", "extract")
    back = replace(before, status=StepStatus.READY, live=None, losses=1, reason="infra_lost")
    with world.storage.advancing(world.lease) as tx:
        tx.end_attempts([ended(lost, "lost", error=error, reason="infra_lost", exit_code=-9)])
        tx.move_steps([("r1", StepMoved(before, back))])
    again = world.dispatched("r1")
    shown = world.storage.queries.run("r1")
    assert shown is not None
    assert {k: shown[k] for k in ("id", "team", "state", "digest", "version", "retries")} == {
        "id": "r1",
        "team": TEAM,
        "state": "running",
        "digest": "d1",
        "version": 1,
        "retries": 0,
    }
    extract, load = shown["steps"]
    assert (extract["step"], extract["state"], extract["outputs"]) == ("extract", "running", {})
    first, second = extract["attempts"]
    assert (first["id"], first["no"], first["state"], first["worker"]) == (
        lost.attempt,
        1,
        "lost",
        "w1",
    )
    assert (first["error"], first["exit_code"], first["reason"]) == (error, -9, "infra_lost")
    assert first["queued_at"] <= first["started_at"] <= first["finished_at"]
    assert (second["id"], second["state"], second["started_at"]) == (
        again.attempt,
        "dispatched",
        None,
    )
    assert (load["step"], load["state"], load["attempts"]) == ("load", "ready", [])
    assert world.storage.queries.steps_brief("r1") == {
        "extract": {"state": "running", "attempts": 2, "reason": "infra_lost", "outputs": {}},
        "load": {"state": "ready", "attempts": 0, "reason": None, "outputs": {}},
    }


def test_a_run_that_is_not_there_is_none(world: World) -> None:
    for id in ("nope", "r\x001", "\ud800"):
        assert world.storage.queries.run(id) is None
        assert world.storage.queries.steps_brief(id) == {}
        assert listed(world, pipeline=id) == []
        assert world.storage.definitions.current(id) == []
        assert world.storage.queries.audit(run=id, teams=None, limit=1, cursor=None) == ([], None)


def test_a_worker_may_name_its_classes_as_it_likes(world: World) -> None:
    odd = registration("w1", "b1").model_copy(update={"classes": ["O dd!\x00"], "hostname": "\x00"})
    world.storage.workers.register(TEAM, odd)
    [queue] = world.storage.queries.queues(teams=[TEAM])
    assert (queue["team"], queue["class"], queue["workers"]) == (TEAM, "O dd!\ufffd", 1)


def test_queues_show_what_waits_what_runs_and_who_serves(world: World) -> None:
    world.dispatched("r1")
    world.running("r2")
    small, io = (world.storage.queries.queues(teams=None)[n] for n in (1, 0))
    assert {k: small[k] for k in ("queue", "ready", "dispatched", "running", "slots")} == {
        "queue": QUEUE,
        "ready": 2,
        "dispatched": 1,
        "running": 1,
        "slots": 4,
    }
    assert small["oldest_ready_at"] == NOW
    assert (io["queue"], io["class"], io["ready"], io["workers"]) == ("analytics.io", "io", 0, 1)
    assert io["oldest_ready_at"] is None
    assert world.storage.queries.queues(teams=["growth"]) == []


def test_counts_are_of_what_is_open(world: World) -> None:
    world.dispatched("r1")
    world.create(state("r2", status=RunStatus.SUCCEEDED), state("r3", status=RunStatus.PAUSED))
    counts = world.storage.queries.counts()
    assert counts["runs"] == {"running": 1, "paused": 1}
    assert counts["steps"]["running"] == 1


def test_of_many_children_a_run_shows_those_that_tell_something(world: World) -> None:
    ended: dict[int, Step] = {
        7: Step("extract[7]", StepStatus.FAILED, attempts=1, failures=1, finished_at=NOW),
        9: Step("extract[9]", StepStatus.RUNNING, attempts=1),
    }
    children = [
        ended.get(i, Step(f"extract[{i}]", StepStatus.SUCCEEDED, attempts=1, finished_at=NOW))
        for i in range(150)
    ]
    world.spread(*range(150), children=children)
    queries = world.storage.queries

    def names(**wanted: Any) -> list[str]:
        shown = queries.run("r1", **wanted)
        assert shown is not None
        return [step["step"] for step in shown["steps"]]

    assert names() == ["extract", "extract[7]", "extract[9]", "load"]
    assert names(child="extract[8]") == ["extract", *(f"extract[{i}]" for i in (7, 8, 9)), "load"]
    assert names(child="extract[7]") == names()
    every = names(all_children=True)
    assert every[:4] == ["extract", "extract[0]", "extract[1]", "extract[2]"]
    assert len(every) == 152
    shown = queries.run("r1")
    assert shown is not None
    spread = shown["steps"][0]
    assert (spread["items"], spread["children"]) == (
        150,
        {"succeeded": 148, "failed": 1, "running": 1},
    )
    assert "items" not in shown["steps"][1]
    assert list(queries.steps_brief("r1")) == ["extract", "load"]
