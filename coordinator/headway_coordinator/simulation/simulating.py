"""A definition and what is assumed in, what becomes of its run out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headway.errors import DefinitionError
from headway.plan import build
from headway.simulation.parts import Assumed, Simulated
from headway.spec import bind_params
from headway_coordinator.engine.model import Run
from headway_coordinator.engine.states import RunStatus
from headway_coordinator.simulation.running import Simulation

# One id for all: the spread of retries is derived from it, and what is simulated twice is the same.
RUN_ID = "0" * 26


def simulate(canonical: Mapping[str, Any], digest: str, assumed: Assumed) -> Simulated:
    """Return what becomes of a run of the definition; the entry point of `headway.simulation`.

    Raises:
        DefinitionError: the params do not fit, or time would go beyond the year 9999.
    """
    plan = build(canonical, digest)
    run = Run(
        id=RUN_ID,
        team=plan.team,
        pipeline=plan.pipeline,
        digest=plan.digest,
        status=RunStatus.QUEUED,
        params=_params(canonical, assumed),
        actor="simulation",
        priority=plan.priority,
        logical_date=assumed.logical_date,
        created_at=assumed.logical_date,
    )
    simulation = Simulation(plan, run, assumed)
    try:
        while simulation.move():
            pass
    except OverflowError:
        message = "the run goes on beyond the year 9999"
        hint = "give an earlier logical date, or shorter durations"
        raise DefinitionError(message, code="bad_value", hint=hint) from None
    return simulation.result()


def _params(canonical: Mapping[str, Any], assumed: Assumed) -> dict[str, Any]:
    run = {"id": RUN_ID, "pipeline": canonical["pipeline"], "team": canonical["team"]}
    return bind_params(canonical, assumed.params, {**run, "logical_date": assumed.logical_date})
