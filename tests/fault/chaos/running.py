"""Runs scenarios, one installation after the other."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.fault.chaos.brokers import broker
from tests.fault.chaos.report import Outcome
from tests.fault.chaos.scenarios import Scale, Scenario
from tests.fault.chaos.world import Servers, World, world
from tests.servers import postgres
from tests.servers.waiting import NeverHappenedError

_EXPECTED = frozenset({"succeeded", "cancelled"})


@contextmanager
def servers(broker_name: str) -> Iterator[Servers]:
    """Give a durable PostgreSQL and a broker, both to be killed."""
    with postgres.restartable() as database, broker(broker_name) as made:
        yield Servers(database, made)


def run(
    scenario: Scenario,
    ground: Servers,
    folder: Path,
    scale: Scale,
    tell: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Return how the scenario ended. Raises whatever keeps it from being set up at all."""
    with world(
        ground,
        folder,
        timing=scenario.timing(scale),
        crew=scenario.crew,
        crowd=scenario.crowd,
    ) as made:
        if scenario.open_runs:
            made.load.begin(open_runs=scenario.open_runs)
        outcome = Outcome(scenario.fault)
        problems: list[str] = []
        try:
            broken = scenario.strike(made, scale)
        except NeverHappenedError as error:
            problems.append(str(error))
            broken = None
        made.settle()
        history, outcome.violations = made.check()
        outcome.runs = len(history.runs)
        rows = {table: getattr(history, table) for table in ("attempts", "steps", "audit", "inbox")}
        (folder / "rows.json").write_text(json.dumps(rows, default=str))
        if broken is not None:
            broken.afterwards(history)
            outcome.count, outcome.measures = broken.count, broken.measures
            problems += broken.problems
        problems += _unexpected(made)
        outcome.problems = problems
        states = Counter(row["state"] for row in history.runs)
        losses = Counter(row["reason"] for row in history.attempts if row["state"] == "lost")
        tell(f"  runs: {dict(states)}; {len(history.attempts)} attempts; lost: {dict(losses)}")
        for note in made.notes:
            tell(f"  {note}")
    return outcome


def _unexpected(made: World) -> Sequence[str]:
    """Return what no invariant forbids and no fault here explains."""
    failed = [
        f"run {id} is {state}: {reason}"
        for id, state, reason in made.observer.rows("SELECT id, state, reason FROM run")
        if state not in _EXPECTED
    ]
    return [*failed, *made.services.surprises()]
