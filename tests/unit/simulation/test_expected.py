"""What was expected beside what came: each difference in words."""

from __future__ import annotations

from typing import Any

import pytest

from headway.simulation.expected import differences
from headway.simulation.parts import Simulated, SimulatedStep, split_attempt

RUN = Simulated(
    state="failed",
    reason="step b failed",
    makespan_s=61.5,
    steps=(
        SimulatedStep("a", "succeeded", None, 0.0, 1.0, 1),
        SimulatedStep("b", "failed", "timed_out", 1.0, 61.5, 2),
        SimulatedStep("c", "failed", "expression_error", None, 1.0, 0, error="if: no `x`"),
    ),
    critical_path=("a", "b"),
    params={},
    slots={},
    examples=(),
)


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        ({"state": "failed"}, []),
        ({"state": "succeeded"}, ["the run is failed (step b failed), not succeeded"]),
        ({"steps": {"a": {"state": "succeeded", "attempts": 1}}}, []),
        ({"steps": {"b": {"state": "skipped"}}}, ["b: state is failed (timed_out), not skipped"]),
        ({"steps": {"c": {"state": "skipped"}}}, ["c: state is failed (if: no `x`), not skipped"]),
        ({"steps": {"b": {"reason": "failed"}}}, ["b: reason is timed_out, not failed"]),
        ({"steps": {"a": {"reason": "if"}}}, ["a: reason is nothing, not if"]),
        ({"steps": {"b": {"attempts": 3}}}, ["b: attempts is 2, not 3"]),
        ({"steps": {"b": {"started_s": 1.0, "finished_s": 61.5}}}, []),
        ({"steps": {"b": {"finished_s": 61.5004}}}, []),
        ({"steps": {"b": {"finished_s": 61.0}}}, ["b: finished_s is 61.5, not 61"]),
        ({"steps": {"c": {"started_s": 0.0}}}, ["c: started_s is nothing, not 0"]),
        ({"makespan_at_most": 61.5}, []),
        ({"makespan_at_most": 61.0}, ["the run took 1m1s500ms, more than 1m1s"]),
        ({"order": ["a", "b"]}, []),
        ({"order": ["b", "a"]}, ["order: a started before b"]),
        ({"order": ["a", "c"]}, ["order: c did not start"]),
    ],
)
def test_differences(expect: dict[str, Any], said: list[str]) -> None:
    assert differences(expect, RUN) == said


def test_steps_and_attempts() -> None:
    assert split_attempt("load") == ("load", None)
    assert split_attempt("load#12") == ("load", 12)
    for wrong in ("load#", "load#0", "load#-1", "load#x", "load#²"):
        with pytest.raises(ValueError, match="no number"):
            split_attempt(wrong)
