"""Write docs/lifecycle.md from the engine's tables of legal moves; `--check` compares instead."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Set
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from headway_coordinator.engine.advance import LOSS_LIMIT
from headway_coordinator.engine.states import (
    ATTEMPT_MOVES,
    RUN_MOVES,
    RUN_REOPENED,
    STEP_MOVES,
    AttemptStatus,
    RunStatus,
    StepStatus,
)

S = TypeVar("S", bound=StrEnum)

PAGE = Path(__file__).parents[1] / "docs" / "lifecycle.md"

TEXT = f"""\
# Lifecycle

Every legal move of a run, a step and an attempt. The diagrams are made from the engine's own tables
(`headway_coordinator/engine/states.py`) by `scripts/lifecycle.py`, and a test compares them: change
the tables, then run the script.

A terminal state never changes by itself. Only a person leads out of one (not in the diagrams). A
retry reopens the run from {{run_reopened}}, and with it every step that did not
succeed, and the `finally` steps as a whole; what they did before stays in their attempts. Clearing
and marking of steps reopen it from any end: see [recovery](recovery.md).

## Run

`paused` holds back new steps; a paused run that has nothing left to start ends. `cancelling` lasts
until each live attempt has ended and `finally` has run; the run then takes the verdict that the
request (a cancel or the deadline) gave it.

{{run}}

## Step

A step becomes `ready` when its needs let it run and its `if` holds, and waits for admission as a
row. Whether its live attempt is dispatched or running is read from the attempt. A failed attempt
leads to `retry_wait` while `retry.max` allows; a lost one leads back to `ready`, at most
{LOSS_LIMIT} times.

{{step}}

## Attempt

A dispatch gives no right to run: only the claim does, and it is the move `dispatched → running`.

{{attempt}}
"""


def page() -> str:
    """Return the page as it should be."""
    return TEXT.format(
        run_reopened=", ".join(f"`{s}`" for s in RunStatus if s in RUN_REOPENED),
        run=diagram(RunStatus, RUN_MOVES),
        step=diagram(StepStatus, STEP_MOVES),
        attempt=diagram(AttemptStatus, ATTEMPT_MOVES),
    )


def diagram(states: type[S], moves: Mapping[S, Set[S]]) -> str:
    """Return a table of moves as a Mermaid state diagram; the first state is where all begins."""
    return "\n".join(["```mermaid", "stateDiagram-v2", *_arrows(states, moves), "```"])


def _arrows(states: type[S], moves: Mapping[S, Set[S]]) -> Iterator[str]:
    order = list(states)
    yield f"    [*] --> {order[0]}"
    for state in order:
        for target in sorted(moves[state], key=order.index):
            yield f"    {state} --> {target}"
        if not moves[state]:
            yield f"    {state} --> [*]"


def main() -> int:
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    print(f"{PAGE.name} differs from the engine's tables; run: python scripts/lifecycle.py")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
