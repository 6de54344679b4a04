"""The table tells the truth: what is wrong is not ok, and neither is what was never measured."""

from __future__ import annotations

from tests.fault.chaos.report import Measure, Outcome, details, table
from tests.fault.checker import Violation


def _measured(*seconds: float, target: float | None = 2.0) -> Measure:
    return Measure("a → b", target, list(seconds))


def test_quantiles_are_nearest_ranks() -> None:
    measure = _measured(*range(1, 101))
    assert (measure.quantile(0.5), measure.quantile(0.99)) == (50, 99)
    assert _measured(3.0).quantile(0.5) == 3.0
    assert _measured().quantile(0.5) is None


def test_a_measure_may_be_three_times_its_target() -> None:
    assert _measured(6.0).ok
    assert not _measured(6.1).ok
    assert _measured(100.0, target=None).ok


def test_what_was_never_measured_is_not_ok() -> None:
    outcome = Outcome("a fault", measures=[_measured()])
    assert not outcome.ok
    assert details(outcome) == ["a fault: a → b: nothing was measured"]


def test_the_table_counts_each_kind_of_harm() -> None:
    names = ("I9", "I7", "I8", "I10", "I4")
    violations = [Violation(name, "row", "is wrong") for name in names]
    outcome = Outcome("a fault", 3, 40, [_measured(1.0), _measured(7.0)], violations)
    head, _, first, second = table([outcome]).splitlines()
    assert first.split()[:7] == ["a", "fault", "3", "40", "1", "2", "1"]
    assert first.split()[-1] == second.split()[-1] == "NO"
    assert head.split()[:3] == ["fault", "count", "runs"]
    assert len(details(outcome)) == len(names) + 1


def test_problems_alone_are_not_ok() -> None:
    assert Outcome("a fault", problems=["a run failed"]).violations == ()
    assert not Outcome("a fault", problems=["a run failed"]).ok
