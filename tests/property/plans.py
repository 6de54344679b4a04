"""Random plans: up to twelve steps of every rule, kind and limit; or few that have items."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st

from headway.plan.model import Foreach, Kind, Plan, PlanStep, Retry, When
from tests.unit.engine.building import plan, planned

FOREACH = (
    Foreach([]),
    Foreach([], max_parallel=2, failures=1),
    Foreach([], max_parallel=1, failures_percent=50),
    Foreach([], max_parallel=2, enough=1),
    Foreach([], enough_percent=60),
)
SECOND = timedelta(seconds=1)


@st.composite
def steps(draw: st.DrawFn, index: int, before: list[str], final: bool, mapped: bool) -> PlanStep:
    needs = (
        draw(
            st.lists(
                st.sampled_from(before), unique=True, min_size=draw(st.integers(0, 1)), max_size=3
            )
        )
        if before
        else []
    )
    often = st.sampled_from([When.ALL_SUCCEEDED, When.ALL_DONE, When.ANY_FAILED])
    some = st.lists(st.sampled_from(before), unique=True, max_size=2) if before else st.just([])
    return planned(
        f"{'z' if final else 's'}{index}",
        *needs,
        when=draw(often | st.sampled_from(When)),
        condition=draw(st.sampled_from([None, None, "x"])),
        kind=draw(st.sampled_from([Kind.RUN, Kind.RUN, Kind.RUN, Kind.WAIT])),
        foreach=draw(st.sampled_from([*([None] * (1 if mapped else 3)), *FOREACH])),
        retry=Retry(max=draw(st.integers(0, 2)), delay=4 * SECOND),
        queue_timeout=draw(st.sampled_from([None, None, 20 * SECOND])),
        final=final,
        allow_failure=draw(st.sampled_from([False, False, True])),
        at_least=draw(st.integers(1, max(1, len(needs)))),
        # What stands before it cannot follow it.
        cancels=() if final or not before else tuple(draw(some | st.just([]))),
    )


@st.composite
def plans(draw: st.DrawFn, mapped: bool = False) -> Plan:
    """Return a plan; with `mapped` one of few steps, of which most run for each item."""
    made: list[PlanStep] = []
    least, most_main, most_final = (1, 3, 1) if mapped else (3, 9, 3)
    for final, most in ((False, most_main), (True, most_final)):
        mine: list[str] = []
        for _ in range(draw(st.integers(0 if final else least, most))):
            step = draw(steps(len(made), mine, final, mapped))
            mine.append(step.key)
            made.append(step)
    return plan(*made, timeout=draw(st.sampled_from([None, None, 15 * SECOND])))
