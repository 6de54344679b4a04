"""What a scenario measured, and the table of all of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.fault.checker import Violation
from tests.fault.checker.invariants import DOUBLED, LOST, STUCK

GATE = 3.0  # so many times the target
_HEAD = (
    "fault", "count", "runs", "lost", "doubled", "stuck", "measured", "p50", "p99", "target",
    "gate", "ok",
)  # fmt: skip
_LEFT = frozenset({"fault", "measured"})


@dataclass
class Measure:
    """How many seconds something took, each time; without a target it is only told."""

    what: str
    target: float | None = None
    samples: list[float] = field(default_factory=list)

    def add(self, seconds: float) -> None:
        self.samples.append(max(0.0, seconds))

    def quantile(self, share: float) -> float | None:
        """Return the nearest rank."""
        ordered = sorted(self.samples)
        return ordered[math.ceil(share * len(ordered)) - 1] if ordered else None

    @property
    def gate(self) -> float | None:
        return None if self.target is None else GATE * self.target

    @property
    def ok(self) -> bool:
        """Nothing measured is as bad as too slow: the scenario did not do what it is for."""
        slowest = self.quantile(0.99)
        return slowest is not None and (self.gate is None or slowest <= self.gate)


@dataclass
class Outcome:
    """How a scenario ended."""

    fault: str
    count: int = 0
    runs: int = 0
    measures: Sequence[Measure] = ()
    violations: Sequence[Violation] = ()
    problems: Sequence[str] = ()

    def violated(self, kind: frozenset[str]) -> int:
        return sum(violation.invariant in kind for violation in self.violations)

    @property
    def ok(self) -> bool:
        return not self.violations and not self.problems and all(m.ok for m in self.measures)


def table(outcomes: Iterable[Outcome]) -> str:
    """Return the outcomes in columns; a scenario has a line for each of its measures."""
    rows = [_HEAD, *(row for outcome in outcomes for row in _rows(outcome))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [
        "  ".join(
            cell.ljust(width) if name in _LEFT else cell.rjust(width)
            for name, cell, width in zip(_HEAD, row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def details(outcome: Outcome) -> list[str]:
    """Return a line for each thing that is wrong."""
    slow = [
        f"{m.what}: {'nothing was measured' if not m.samples else f'over {_shown(m.gate)}'}"
        for m in outcome.measures
        if not m.ok
    ]
    return [f"{outcome.fault}: {line}" for line in [*outcome.violations, *outcome.problems, *slow]]


def _rows(outcome: Outcome) -> Iterable[tuple[str, ...]]:
    counts = (
        str(outcome.count),
        str(outcome.runs),
        *(str(outcome.violated(kind)) for kind in (LOST, DOUBLED, STUCK)),
    )
    harmless = not outcome.violations and not outcome.problems
    for number, measure in enumerate(outcome.measures or [Measure("")]):
        first = number == 0
        ok = measure.ok or not outcome.measures
        yield (
            outcome.fault if first else "",
            *(counts if first else ("",) * len(counts)),
            measure.what,
            _shown(measure.quantile(0.5)),
            _shown(measure.quantile(0.99)),
            _shown(measure.target),
            _shown(measure.gate),
            "yes" if ok and (harmless or not first) else "NO",
        )


def _shown(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f}"
