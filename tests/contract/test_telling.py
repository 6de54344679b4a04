"""What runs tell: their ends and the assets they made, and which triggers hear it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headway.spec.assets import MAX_LENGTH
from headway_coordinator.application import deciding, telling
from headway_coordinator.application.batch import Batch, Touched
from headway_coordinator.application.trigger_ports import (
    Decision,
    EventFilter,
    NewEvent,
)
from headway_coordinator.engine.model import Step, StepMoved
from headway_coordinator.engine.states import RunStatus, StepStatus
from tests.contract.deciders import NOW, Deciders, trigger, wild
from tests.contract.world import TEAM, settle
from tests.contract.world import state as world_state


def upstream_trigger(kind: str, **body: Any) -> dict[str, Any]:
    keys: dict[str, Any] = {kind: body}
    return trigger(kind, **keys)


def told(
    deciders: Deciders, *visible_to: str, id: str = "r1", uri: str = "s3://raw/sales"
) -> list[NewEvent]:
    """Tell that a run of the team's pipeline `daily` has ended, and what it made."""
    state = world_state(id, status=RunStatus.SUCCEEDED, finished_at=NOW)
    made = replace(state.plan.steps[0], produces=(uri,))
    plan = replace(
        state.plan,
        steps=(made, *state.plan.steps[1:]),
        by_key={**state.plan.by_key, made.key: made},
        produces=True,
        visible_to=visible_to,
    )
    state.plan = plan
    touched = Touched(state, run_before=state.run)
    done = Step(made.key, StepStatus.SUCCEEDED, attempts=1, outputs={"rows": 3}, finished_at=NOW)
    touched.moves[made.key] = StepMoved(state.steps[made.key], done)
    batch = Batch(NOW, lambda run: None)
    batch.touched[id] = touched
    return telling.told(batch, deciders.clock)


def tell(deciders: Deciders, events: list[NewEvent]) -> int:
    with deciders.storage.advancing(deciders.world.lease) as transaction:
        transaction.tell(events)
        settle(transaction)
        return transaction.heard


def test_the_end_of_a_run_is_kept_if_somebody_listens(deciders: Deciders) -> None:
    ended = [e for e in told(deciders) if e.origin == "pipeline"]
    assert tell(deciders, ended) == 0
    deciders.define(
        upstream_trigger("pipeline", name="daily", on=["succeeded", "failed"]), pipeline="next"
    )
    assert tell(deciders, ended) == 1
    assert tell(deciders, ended) == 0  # the same end again
    deciders.decide()
    [run] = deciders.runs()
    assert run.body["pipeline"] == "next"
    assert run.body["origin"]["depth"] == 1


def test_a_trigger_hears_the_ends_that_it_names(deciders: Deciders) -> None:
    deciders.define(upstream_trigger("pipeline", name="daily", on=["failed"]), pipeline="next")
    [ended] = [e for e in told(deciders) if e.origin == "pipeline"]
    tell(deciders, [ended])
    deciders.decide()
    assert deciders.outcomes(ended.id) == [
        ("pipeline", "filtered", "listens to runs that failed; this one succeeded")
    ]


def test_an_asset_is_kept_and_starts_who_waits_for_it(deciders: Deciders) -> None:
    deciders.define(upstream_trigger("asset", any=["s3://raw/sales", "s3://x"]), pipeline="next")
    updated = [e for e in told(deciders) if e.origin == "asset"]
    assert tell(deciders, updated) == 1
    deciders.decide()
    assert [run.body["pipeline"] for run in deciders.runs()] == ["next"]


def test_an_asset_with_the_longest_address_holds_up_no_run(deciders: Deciders) -> None:
    uri = f"s3://{wild(MAX_LENGTH - 5)}"
    deciders.define(upstream_trigger("asset", any=[uri]), pipeline="next")
    updated = [e for e in told(deciders, uri=uri) if e.origin == "asset"]
    assert tell(deciders, updated) == 1
    assert tell(deciders, updated) == 0
    deciders.decide()
    assert len(deciders.runs()) == 1


def test_all_of_several_assets_start_one_run(deciders: Deciders) -> None:
    both = ["s3://raw/sales", "s3://raw/costs"]
    deciders.define(upstream_trigger("asset", all=both), pipeline="next")
    [sales] = [e for e in told(deciders) if e.origin == "asset"]
    again = replace(sales, id="again", dedupe="again")
    costs = replace(sales, id="costs", dedupe="costs", subject=both[1])
    tell(deciders, [sales, again])
    deciders.decide()
    assert deciders.decider.fire(deciders.world.lease)[0].runs == 0
    tell(deciders, [costs])
    deciders.decide()
    assert deciders.decider.fire(deciders.world.lease)[0].runs == 1
    [run] = deciders.runs()
    assert run.body["origin"]["events"] == 3
    assert deciders.storage.events.gathered() == []


def test_an_asset_that_is_updated_very_often_hides_no_other(
    deciders: Deciders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deciding, "BATCH_LIMIT", 1)  # so that 60 events are very many
    both = ["s3://raw/sales", "s3://raw/costs"]
    deciders.define(upstream_trigger("asset", all=both), pipeline="next")
    [sales] = [e for e in told(deciders) if e.origin == "asset"]
    often = [replace(sales, id=f"s{n}", dedupe=f"s{n}") for n in range(60)]
    costs = replace(sales, id="t", dedupe="t", subject=both[1])
    for events in (often, [costs]):
        tell(deciders, events)
        waiting = [Decision(e.id, TEAM, "next", "asset", "waiting") for e in events]
        with deciders.storage.deciding(deciders.world.lease) as transaction:
            transaction.decide([e.id for e in events], waiting)
    assert deciders.decider.fire(deciders.world.lease)[0].runs == 1


@pytest.mark.parametrize(("visible_to", "started"), [((), 0), (("risk",), 1), (("*",), 1)])
def test_another_team_hears_what_the_producer_lets_it(
    deciders: Deciders, visible_to: tuple[str, ...], started: int
) -> None:
    name = f"{TEAM}/daily"
    deciders.define(upstream_trigger("asset", any=["s3://raw/sales"]), pipeline="a", team="risk")
    deciders.define(
        upstream_trigger("pipeline", name=name, on=["succeeded"]), pipeline="b", team="risk"
    )
    events = told(deciders, *visible_to)
    tell(deciders, events)
    deciders.decide()
    assert len(deciders.runs()) == 2 * started
    for event in events:
        [(_, outcome, reason)] = deciders.outcomes(event.id)
        assert outcome == ("matched" if started else "refused")
        assert started or "visible_to" in str(reason)


def test_a_team_sees_its_own_decisions_on_what_others_hear_too(deciders: Deciders) -> None:
    deciders.define(upstream_trigger("asset", any=["s3://raw/sales"]), pipeline="mine")
    deciders.define(
        upstream_trigger("asset", any=["s3://raw/sales"]), pipeline="theirs", team="risk"
    )
    tell(deciders, [e for e in told(deciders, "risk") if e.origin == "asset"])
    deciders.decide()
    events = deciders.storage.events

    def heard_by(wanted: EventFilter) -> list[list[str]]:
        return [[d["pipeline"] for d in row["decisions"]] for row in events.listing(wanted)[0]]

    assert heard_by(EventFilter([TEAM], 9, deciders=[TEAM])) == [["mine"]]
    assert heard_by(EventFilter([TEAM], 9)) == [["mine", "theirs"]]
    assert heard_by(EventFilter([TEAM], 9, pipeline="theirs", deciders=[TEAM])) == []
    assert heard_by(EventFilter([TEAM], 9, pipeline="theirs")) == [["mine", "theirs"]]
