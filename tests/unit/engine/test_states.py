"""The tables of states agree with each other, and with the page that shows them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Set
from enum import StrEnum
from pathlib import Path

import pytest

from headway_coordinator.engine.states import (
    ATTEMPT_LIVE,
    ATTEMPT_MOVES,
    ATTEMPT_TERMINAL,
    RUN_MOVES,
    RUN_REOPENED,
    RUN_TERMINAL,
    STEP_MOVES,
    STEP_REOPENED,
    STEP_TERMINAL,
    AttemptStatus,
    RunStatus,
    StepStatus,
)

ROOT = Path(__file__).parents[3]
TABLES = [
    (RunStatus, RUN_MOVES, RUN_TERMINAL, RunStatus.QUEUED),
    (StepStatus, STEP_MOVES, STEP_TERMINAL, StepStatus.PENDING),
    (AttemptStatus, ATTEMPT_MOVES, ATTEMPT_TERMINAL, AttemptStatus.DISPATCHED),
]


@pytest.mark.parametrize(("states", "moves", "terminal", "first"), TABLES)
def test_every_state_is_reached_and_left_unless_it_is_terminal(
    states: type[StrEnum],
    moves: Mapping[StrEnum, Set[StrEnum]],
    terminal: Set[StrEnum],
    first: StrEnum,
) -> None:
    assert set(moves) == set(states)
    assert {state for state, targets in moves.items() if not targets} == terminal
    seen, todo = {first}, [first]
    for state in todo:
        fresh = moves[state] - seen
        seen |= fresh
        todo.extend(sorted(fresh))
    assert seen == set(states)


def test_what_a_retry_reopens_had_ended() -> None:
    assert RUN_TERMINAL - {RunStatus.SUCCEEDED} == RUN_REOPENED
    assert STEP_REOPENED == STEP_TERMINAL
    assert set(AttemptStatus) == ATTEMPT_LIVE | ATTEMPT_TERMINAL


def test_the_lifecycle_page_shows_the_tables() -> None:
    check = [sys.executable, str(ROOT / "scripts" / "lifecycle.py"), "--check"]
    result = subprocess.run(check, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
