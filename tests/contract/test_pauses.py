"""Contract of pauses: rows, changed once, with an audit row each."""

from __future__ import annotations

from headway_coordinator.application.pause_ports import Holds
from tests.contract.world import World


def test_what_is_held_back_is_held_once_and_lifted_once(world: World) -> None:
    pauses = world.storage.pauses
    assert pauses.hold("pipeline", "analytics", "daily", actor="ann", reason="bad data")
    assert not pauses.hold("pipeline", "analytics", "daily", actor="bob", reason=None)
    [held] = pauses.all()
    assert (held.by, held.reason, held.subject) == ("ann", "bad data", "pipeline analytics/daily")
    assert held.at.tzinfo is not None
    assert pauses.lift("pipeline", "analytics", "daily", actor="bob", reason=None)
    assert not pauses.lift("pipeline", "analytics", "daily", actor="bob", reason=None)
    assert pauses.all() == []
    rows, _ = world.storage.queries.audit(run=None, teams=["analytics"], limit=10, cursor=None)
    entry = {"entity": "pause", "kind": "pipeline", "id": "analytics/daily"}
    assert [(r["actor"], r["run"], r["transitions"]) for r in rows] == [
        ("bob", "", [{**entry, "to": "active"}]),
        ("ann", "", [{**entry, "to": "paused", "reason": "bad data"}]),
    ]


def test_each_kind_holds_back_what_it_names(world: World) -> None:
    pauses = world.storage.pauses
    pauses.hold("queue", "analytics", "io", actor="ann", reason=None)
    pauses.hold("team", "risk", "", actor="ann", reason=None)
    holds = Holds(pauses.all())
    held = [q for q in ("analytics.io", "analytics.small", "risk.io") if holds.queue(q)]
    assert held == ["analytics.io", "risk.io"]
    assert holds.pipeline("analytics", "io") is None
    assert (holds.team("risk"), holds.team("analytics")) == (pauses.all()[1], None)
