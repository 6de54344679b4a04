"""A long walk through the engine and admission, printed: the same under every hash seed.

Run as a program: `python -m tests.property.walk`. Its choices come from a seeded generator of its
own, so that only the engine could make two walks differ.
"""

from __future__ import annotations

import random
import sys
from datetime import timedelta

from headway.plan.model import Plan, PlanStep, Retry, When
from headway_coordinator.admission.backlog import Backlog, Waiting
from headway_coordinator.admission.window import Capacity, windows
from headway_coordinator.engine import invariants
from headway_coordinator.engine.events import (
    CancelRequested,
    Decided,
    Due,
    Event,
    Finished,
    RetryRequested,
)
from headway_coordinator.engine.explain import explain
from headway_coordinator.engine.settle import outstanding
from headway_coordinator.engine.states import RUN_TERMINAL, StepStatus
from tests.unit.engine.building import Journey, plan, planned, transcript

SECOND = timedelta(seconds=1)


def walk(seed: int, events: int = 150) -> list[str]:
    """Return what `events` events did to a random run, line by line."""
    dice = random.Random(seed)
    run = Journey(graph(dice))
    lines = transcript(run.begun)
    for _ in range(events):
        event = choose(dice, run)
        if event is None:
            break
        lines += [f"> {event}", *transcript(run.take(event))]
    lines += [str(b) for key in run.state.steps for b in explain(run.state, key)]
    lines += [str(effect) for effect in outstanding(run.state)]
    return [*lines, run.steps, run.status, *invariants.check(run.state)]


def graph(dice: random.Random) -> Plan:
    steps: list[PlanStep] = []
    for index in range(12):
        final = index >= 10
        before = [s.key for s in steps if s.final is final]
        steps.append(
            planned(
                f"{'z' if final else 's'}{index}",
                *dice.sample(before, min(len(before), dice.randint(0, 3))),
                when=dice.choice([When.ALL_SUCCEEDED, When.ALL_DONE, *When]),
                condition=dice.choice([None, None, "x"]),
                retry=Retry(max=dice.randint(0, 2)),
                final=final,
                allow_failure=dice.random() < 0.3,
            )
        )
    return plan(*steps)


def choose(dice: random.Random, run: Journey) -> Event | None:
    """Return what happens next; None when there is nothing more to happen."""
    state = run.state
    run.now += dice.randint(0, 5) * SECOND
    if state.run.status in RUN_TERMINAL:
        return RetryRequested("ann") if state.run.request < 3 else None
    choices: list[Event] = [Decided(e.step, dice.random() < 0.7) for e in outstanding(state)]
    for key, step in state.steps.items():
        if step.status is StepStatus.READY:
            run.admit(key)
        if step.live is not None:
            outcome = dice.choice(["succeeded", "succeeded", "failed", "lost"])
            choices.append(Finished(step.live.id, step.live.fence, outcome))
        if step.due_at is not None:
            choices.append(Due(key))
    if dice.random() < 0.02:
        choices.append(CancelRequested("ann"))
    return dice.choice(choices) if choices else Due(None)


def admission() -> list[str]:
    """Return what admission does with many queues and workers."""
    names = [f"team{i}.class{i % 3}" for i in range(40)]
    workers = [Capacity(f"w{i}", i % 5, 1, tuple(names[i : i + 4])) for i in range(30)]
    backlog = Backlog()
    now = Journey.of(planned("a")).now
    for index, name in enumerate(names):
        backlog.add(name, Waiting(0, now, f"r{index}", (0, 0), "a"))
    found = windows(workers, dict.fromkeys(reversed(names), 1), {})
    return [*map(str, found.items()), *backlog.queues()]


if __name__ == "__main__":
    for number in range(int(sys.argv[1])):
        print(*walk(number), sep="\n")
    print(*admission(), sep="\n")
