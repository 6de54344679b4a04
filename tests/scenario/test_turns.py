"""Runs of a pipeline that take turns: through the inbox, a restart, a retry and a cancel."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.scenario.world import World

_STEPS = "steps: {a: {run: x}}\nfinally: {clean: {run: y}}"


def begun(world: World, overlap: str, *, concurrency: str = "") -> None:
    world.define(
        f"pipeline: p\noverlap: {overlap}\n{concurrency}"
        f'params: {{region: {{type: string, default: "eu"}}}}\n{_STEPS}'
    )
    world.start("A", timedelta())
    world.add_worker("w1", 9, ["default"])


def ask(world: World, *ids: str, **params: str) -> None:
    for id in ids:
        world.request_run(id, "p", params, "ann")
    world.work()


def states(world: World) -> dict[str, str]:
    return {row["id"]: row["state"] for row in world.rows("SELECT id, state FROM run ORDER BY id")}


def finish(world: World) -> None:
    """Perform what can be performed until there is no more."""
    worker = world.workers["w1"]
    while True:
        world.work()
        world.take(worker, 9)
        if not worker.running:
            return
        end_all(world)


def end_all(world: World) -> None:
    worker = world.workers["w1"]
    for attempt in list(worker.running):
        sealed = worker.complete(attempt, {"outcome": "succeeded"}, world.clock.now())
        world.broker.events.append(sealed)
    world.work()
    world.beat(worker)


def test_queue_lets_one_after_the_other_run(world: World) -> None:
    begun(world, "queue")
    ask(world, "r1", "r2", "r3")
    assert states(world) == {"r1": "running", "r2": "queued", "r3": "queued"}
    assert world.check() == []
    world.take(world.workers["w1"], 9)
    end_all(world)
    world.take(world.workers["w1"], 9)
    end_all(world)
    assert states(world) == {"r1": "succeeded", "r2": "running", "r3": "queued"}
    finish(world)
    assert set(states(world).values()) == {"succeeded"}
    assert world.check() == []


def test_skip_ends_a_run_that_finds_another(world: World) -> None:
    begun(world, "skip")
    ask(world, "r1", "r2")
    assert states(world) == {"r1": "running", "r2": "cancelled"}
    [row] = world.rows("SELECT reason, started_at FROM run WHERE id = 'r2'")
    assert row == {"reason": "overlap: skip, while run r1 is under way", "started_at": None}
    assert world.rows("SELECT * FROM attempt WHERE run_id = 'r2'") == []
    finish(world)
    ask(world, "r3")
    assert states(world)["r3"] == "running"
    assert world.check() == []


def test_replace_stops_the_one_before_and_then_starts(world: World) -> None:
    begun(world, "replace")
    ask(world, "r1")
    world.take(world.workers["w1"], 9)
    ask(world, "r2", "r3")
    assert states(world) == {"r1": "cancelling", "r2": "cancelled", "r3": "queued"}
    worker = world.workers["w1"]
    for attempt in list(worker.running):
        sealed = worker.complete(attempt, {"outcome": "cancelled"}, world.clock.now())
        world.broker.events.append(sealed)
    finish(world)
    assert states(world) == {"r1": "cancelled", "r2": "cancelled", "r3": "succeeded"}
    assert world.check() == []


def test_each_key_has_a_limit_of_its_own(world: World) -> None:
    key = "concurrency: {key: '${{ params.region }}', limit: 2}\n"
    begun(world, "queue", concurrency=key)
    ask(world, "r1", "r2", "r3", region="eu")
    ask(world, "r4", region="us")
    assert states(world) == {"r1": "running", "r2": "running", "r3": "queued", "r4": "running"}
    rows = world.rows("SELECT DISTINCT group_key FROM run ORDER BY 1")
    assert [row["group_key"] for row in rows] == ["t/p/eu", "t/p/us"]
    finish(world)
    assert set(states(world).values()) == {"succeeded"}


def test_a_key_without_a_value_fails_the_run_and_no_other(world: World) -> None:
    key = "concurrency: {key: '${{ string(int(params.region)) }}', limit: 1}\n"
    begun(world, "queue", concurrency=key)
    ask(world, "r1", region="no-number")
    ask(world, "r2", region="7")
    assert states(world) == {"r1": "failed", "r2": "running"}
    [row] = world.rows("SELECT reason FROM run WHERE id = 'r1'")
    assert row["reason"].startswith("concurrency.key:")
    assert world.check() == []


@pytest.mark.parametrize("overlap", ["queue", "replace"])
def test_a_new_leader_goes_on_where_the_last_one_was(world: World, overlap: str) -> None:
    begun(world, overlap)
    ask(world, "r1")
    world.take(world.workers["w1"], 9)
    ask(world, "r2")
    world.stop("A")
    world.start("B", timedelta())
    world.wait(timedelta(seconds=12))
    assert states(world)["r2"] == "queued"
    worker = world.workers["w1"]
    for attempt in list(worker.running):
        sealed = worker.complete(attempt, {"outcome": "cancelled"}, world.clock.now())
        world.broker.events.append(sealed)
    finish(world)
    assert states(world)["r2"] == "succeeded"
    assert world.check() == []


def test_a_queued_run_that_is_cancelled_runs_nothing(world: World) -> None:
    begun(world, "queue")
    ask(world, "r1", "r2")
    world.ask("r2", "cancel", {}, "ann")
    world.work()
    assert states(world) == {"r1": "running", "r2": "cancelled"}
    finish(world)
    rows = world.rows("SELECT DISTINCT run_id FROM attempt")
    assert [row["run_id"] for row in rows] == ["r1"]
    assert world.check() == []


def test_a_retried_run_takes_its_turn_again(world: World) -> None:
    begun(world, "queue")
    ask(world, "r1", "r2")
    world.ask("r2", "cancel", {}, "ann")
    world.work()
    world.ask("r2", "retry", {}, "ann")
    world.work()
    assert states(world) == {"r1": "running", "r2": "queued"}
    assert world.check() == []
    finish(world)
    assert states(world) == {"r1": "succeeded", "r2": "succeeded"}
    assert world.check() == []


_FAILS = 'run: x, env: {N: "${{ int(params.text) }}"}'  # when the step is admitted, never before
_HEAD = 'params: {text: {type: string, default: "x"}}\n'


def test_what_follows_a_step_that_fails_when_it_is_admitted(world: World) -> None:
    """Nothing else happens to the run that could remind anybody of it."""
    steps = f"steps: {{a: {{{_FAILS}}}, b: {{run: x, needs: [a], when: all_done}}}}"
    world.define(f"pipeline: p\n{_HEAD}{steps}\nfinally: {{z: {{run: x}}}}")
    world.start("A", timedelta())
    world.add_worker("w1", 9, ["default"])
    world.request_run("r1", "p", {}, "ann")
    finish(world)
    assert states(world) == {"r1": "failed"}
    assert world.check() == []


def test_the_room_of_a_step_that_fails_when_it_is_admitted(world: World) -> None:
    steps = ", ".join(f"a{index}: {{{_FAILS}}}" for index in range(9)) + ", b: {run: x}"
    world.define(f"pipeline: p\n{_HEAD}steps: {{{steps}}}")
    world.start("A", timedelta())
    world.add_worker("w1", 1, ["default"])
    world.request_run("r1", "p", {}, "ann")
    world.work()
    assert [row["step"] for row in world.rows("SELECT step FROM attempt")] == ["b"]


def test_the_turn_of_a_run_whose_last_step_fails_when_it_is_admitted(world: World) -> None:
    world.define(f"pipeline: p\noverlap: queue\n{_HEAD}steps: {{a: {{{_FAILS}}}}}")
    world.start("A", timedelta())
    world.add_worker("w1", 9, ["default"])
    ask(world, "r1", "r2", "r3")
    assert states(world) == {"r1": "failed", "r2": "failed", "r3": "failed"}
    assert world.check() == []
