"""Progress as plain lines: one for each transition, for logs and for terminals that are none."""

from __future__ import annotations

from typing import TextIO

from headway.cli.printing import clean, span, state_words
from headway.cli.snapshot import Snapshot, StepView
from headway.clock import Clock
from headway.reasons import reason_words

_FEW_ITEMS = 20


class PlainProgress:
    """Writes a line when the run or a step has another state or attempt than before."""

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._run_state = ""
        self._seen: dict[str, tuple[str, int]] = {}

    def show(self, run: Snapshot) -> None:
        """Write what has changed since the last call."""
        quiet = _many_children(run)
        for step in run.steps:
            mark = (step.phase, step.tries)
            before = self._seen.get(step.name, ("pending", 0))
            self._seen[step.name] = mark
            if mark != before and not (step.name in quiet and step.state != "failed"):
                self._line(step.name, transition(step))
        if run.state != self._run_state:
            words = state_words(run.state)
            # Whoever is interrupted can look at it, cancel it or wait for it again.
            self._line("run", words if self._run_state else f"{words}  {run.id}")
            self._run_state = run.state

    def say(self, sentence: str) -> None:
        self._line("headway", sentence)

    def close(self) -> None:
        self._stream.flush()

    def _line(self, subject: str, words: str) -> None:
        at = self._clock.now().strftime("%H:%M:%SZ")
        print(clean(f"{at}  {subject}  {words}"), file=self._stream, flush=True)


def _many_children(run: Snapshot) -> set[str]:
    """Return the children of steps with many items: a line for each would hide all else."""
    many = {step.name for step in run.steps if (step.items or 0) > _FEW_ITEMS}
    return {s.name for s in run.steps if s.is_child and s.name.partition("[")[0] in many}


def transition(step: StepView) -> str:
    """Return a step's state, with the attempt, the duration and the cause where they matter."""
    parts = [state_words(step.phase)]
    if (spread := step.spread()) is not None:
        parts.append(spread)
    elif step.tries > 1 or step.phase == "running":
        parts.append(f"attempt {step.tries}")
    if step.done and (seconds := step.seconds()) is not None:
        parts.append(f"after {span(seconds)}")
    if step.state in ("failed", "retry_wait") and (cause := step.failure()):
        parts.append(cause)
    elif step.done and step.state != "succeeded" and step.reason:
        parts.append(reason_words(step.state, step.reason))
    return ", ".join(parts)
