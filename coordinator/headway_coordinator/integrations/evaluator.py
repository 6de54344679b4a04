"""Evaluates expressions in a child process with a deadline.

An expression comes from a team and must never freeze or crash the leader: whatever the library
does with it, the child is killed when the budget is spent, and a new one takes its place.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import threading
from collections.abc import Mapping
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from headway.expressions import ExpressionError, evaluate

_MEMORY_BYTES = 1024 * 1024 * 1024  # an expression can also build what no machine holds


_PATIENCE = 20  # budgets of wall time, at the most
_NEARLY = 0.8  # the kernel counts in hundredths, and the wait itself takes a moment
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class SandboxedEvaluator:
    """An `Evaluator`. One expression at a time; any thread may call it."""

    def __init__(self, budget: timedelta) -> None:
        self._budget_s = budget.total_seconds()
        self._lock = threading.Lock()
        self._context = multiprocessing.get_context("spawn")
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None
        self.killed = 0

    def evaluate(self, source: str, context: Mapping[str, Any]) -> Any:
        with self._lock:
            answer = self._ask(source, context)
        if answer[0] == "value":
            return answer[1]
        raise ExpressionError(str(answer[1]))

    def warm(self) -> None:
        """Start the child, so that the first expression does not wait for it."""
        with self._lock:
            self._started()

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._end()

    def _ask(self, source: str, context: Mapping[str, Any]) -> tuple[str, Any]:
        try:
            pipe = self._started()
            pipe.send((source, dict(context)))
            if self._answers(pipe):
                answer: tuple[str, Any] = pipe.recv()
                return answer
            problem = f"took longer than {self._budget_s:g} s"
        except (EOFError, OSError):
            problem = "ended the process that evaluated it"
        self.killed += 1
        self._end()
        return "error", f"{_short(source)}: the expression {problem}"

    def _answers(self, pipe: Connection) -> bool:
        """Wait for the answer; False once the child has used up the budget of processor time.

        Not of wall time: on a busy machine the child may get no turn for longer than any
        expression needs, and that must fail nobody's step.
        """
        assert self._process is not None
        pid = self._process.pid
        before = _processor_seconds(pid)
        for _ in range(_PATIENCE):
            if pipe.poll(self._budget_s):
                return True
            if _processor_seconds(pid) - before >= self._budget_s * _NEARLY:
                return False
        return False

    def _started(self) -> Connection:
        if self._pipe is None:
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._process, self._pipe = process, ours
            # The budget is for expressions, not for a process that has yet to start.
            if not ours.poll(30) or ours.recv() != "ready":
                raise EOFError
        return self._pipe

    def _end(self) -> None:
        process, self._process = self._process, None
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.close()
        if process is not None:
            process.kill()
            process.join(5)


def _processor_seconds(pid: int | None) -> float:
    """Return what the process has used so far; infinity for one that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.inf
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def _serve(pipe: Connection) -> None:
    """Answer until the other end is gone."""
    import resource
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    evaluate("1 + 1", {})  # loads the interpreter, which is not the first expression's to pay for
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    pipe.send("ready")
    while True:
        try:
            source, context = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer: tuple[str, Any] = ("value", evaluate(source, context))
        except ExpressionError as error:
            answer = ("error", str(error))
        except (Exception, MemoryError) as error:  # all that is raised is the expression's fault
            answer = ("error", f"{type(error).__name__}: {error}")
        pipe.send(answer)


def _short(source: str) -> str:
    return source if len(source) <= 60 else source[:57] + "…"
