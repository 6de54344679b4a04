"""Expressions in a process that can be ended: none may freeze or crash its caller."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from headway.expressions import ExpressionError
from headway_coordinator.integrations.evaluator import SandboxedEvaluator


@pytest.fixture
def evaluator() -> Iterator[SandboxedEvaluator]:
    made = SandboxedEvaluator(timedelta(milliseconds=400))
    yield made
    made.close()


def test_values_come_back(evaluator: SandboxedEvaluator) -> None:
    assert evaluator.evaluate("params.n * 2 > 5", {"params": {"n": 3}}) is True
    assert evaluator.evaluate("params.l.map(x, x + 1)", {"params": {"l": [1, 2]}}) == [2, 3]


def test_an_expression_that_fails_says_why(evaluator: SandboxedEvaluator) -> None:
    with pytest.raises(ExpressionError):
        evaluator.evaluate("params.n + 'a'", {"params": {"n": 3}})
    assert evaluator.killed == 0


def test_an_expression_over_its_budget_is_ended_and_the_next_one_works(
    evaluator: SandboxedEvaluator,
) -> None:
    numbers = list(range(10_000))
    slow = "params.l.filter(x, params.l.exists_one(y, y == x)).size() > 0 || true"
    wide = "params.l.filter(x, (x + 20000) in params.l).size() == 0"
    with pytest.raises(ExpressionError):
        evaluator.evaluate(slow, {"params": {"l": numbers}})
    with pytest.raises(ExpressionError, match=r"took longer than 0\.4 s"):
        evaluator.evaluate(wide, {"params": {"l": numbers}})
    assert evaluator.killed >= 1
    assert evaluator.evaluate("1 + params.n", {"params": {"n": 1}}) == 2


def test_an_expression_cannot_take_all_memory(evaluator: SandboxedEvaluator) -> None:
    numbers = list(range(10_000))
    with pytest.raises(ExpressionError):
        evaluator.evaluate("params.l.map(x, params.l)", {"params": {"l": numbers}})
    assert evaluator.evaluate("1 + params.n", {"params": {"n": 1}}) == 2


def test_a_machine_that_is_busy_fails_no_expression(evaluator: SandboxedEvaluator) -> None:
    evaluator.warm()
    assert evaluator._process is not None
    pid = evaluator._process.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # gets no turn for longer than its budget
    resume = threading.Timer(1.0, os.kill, (pid, signal.SIGCONT))
    resume.start()
    assert evaluator.evaluate("1 + params.n", {"params": {"n": 1}}) == 2
    resume.join()
    assert evaluator.killed == 0


def test_the_child_can_die_at_any_time(evaluator: SandboxedEvaluator) -> None:
    evaluator.warm()
    assert evaluator._process is not None
    evaluator._process.kill()
    evaluator._process.join(5)
    with pytest.raises(ExpressionError, match="ended the process"):
        evaluator.evaluate("1 + params.n", {"params": {"n": 1}})
    assert evaluator.evaluate("1 + params.n", {"params": {"n": 1}}) == 2
