"""Whether a step may run, given how its needs have ended: the `when` rules as one function.

The outcomes are those of Airflow 3.3's trigger rules, which users know; a test compares every
rule with that version's own truth table.
"""

from __future__ import annotations

from enum import Enum
from typing import assert_never

from headway.plan.model import PlanStep, When
from headway_coordinator.engine.model import Tally


class Ruling(Enum):
    RUN = "run"
    WAIT = "wait"
    SKIP = "skipped"
    UPSTREAM_FAILED = "upstream_failed"


def ruling_of(planned: PlanStep, tally: Tally) -> Ruling:
    """Return what the step's own rule says now."""
    return rule(planned.when, tally, len(planned.needs), planned.at_least)


def rule(when: When, tally: Tally, needs: int, at_least: int = 1) -> Ruling:
    """Return what `when` says of a step with `needs` needs of which `tally` have ended.

    `at_least` is how many have to succeed with SOME_SUCCEEDED; one is the same as ANY_SUCCEEDED.
    """
    ok, bad, skipped = tally.succeeded, tally.failed + tally.upstream_failed, tally.skipped
    all_done = tally.done == needs
    if needs == 0 or when is When.ALWAYS:
        return Ruling.RUN
    match when:
        case When.ALL_SUCCEEDED:
            return _broken(bad, skipped) or _run_if(ok == needs)
        case When.ALL_FAILED:
            return Ruling.SKIP if ok or skipped else _run_if(bad == needs)
        case When.ALL_DONE:
            return _run_if(all_done)
        case When.ALL_SKIPPED:
            return Ruling.SKIP if ok or bad else _run_if(skipped == needs)
        case When.ANY_SUCCEEDED | When.SOME_SUCCEEDED:
            if ok >= (at_least if when is When.SOME_SUCCEEDED else 1):
                return Ruling.RUN
            if not all_done:
                return Ruling.WAIT
            return Ruling.UPSTREAM_FAILED if bad else Ruling.SKIP
        case When.ANY_FAILED:
            if bad:
                return Ruling.RUN
            return Ruling.SKIP if all_done else Ruling.WAIT
        case When.ANY_DONE:
            if ok or tally.failed:
                return Ruling.RUN
            return Ruling.SKIP if all_done else Ruling.WAIT
        case When.NONE_FAILED:
            return Ruling.UPSTREAM_FAILED if bad else _run_if(all_done)
        case When.NONE_SKIPPED:
            return Ruling.SKIP if skipped else _run_if(all_done)
        case When.NONE_FAILED_MIN_ONE_SUCCESS:
            if bad:
                return Ruling.UPSTREAM_FAILED
            if skipped == needs:
                return Ruling.SKIP
            return _run_if(all_done)
        case When.ALL_DONE_MIN_ONE_SUCCESS:
            if skipped:
                return Ruling.SKIP
            if not all_done:
                return Ruling.WAIT
            return Ruling.RUN if ok else Ruling.UPSTREAM_FAILED
        case _:
            assert_never(when)


def _broken(bad: int, skipped: int) -> Ruling | None:
    if bad:
        return Ruling.UPSTREAM_FAILED
    return Ruling.SKIP if skipped else None


def _run_if(fulfilled: bool) -> Ruling:
    return Ruling.RUN if fulfilled else Ruling.WAIT
