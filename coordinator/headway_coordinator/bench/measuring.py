"""Runs the cases: both sides in turn, medians of rounds, everything of one case in one stretch.

A case is warmed up first on both sides. The rounds alternate, so that whatever else the machine
does meanwhile falls on both; only ratios of one call mean something on a machine that is shared.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from headway.clock import SystemClock
from headway_coordinator.bench import arrivals
from headway_coordinator.bench.canvas_side import CanvasSide
from headway_coordinator.bench.cases import Case, cases, latency, sizes
from headway_coordinator.bench.headway_side import HeadwaySide

_CHAINS = 5  # a round of W6


@dataclass(slots=True)
class Figures:
    """Seconds of each round on each side, and Headway's processor seconds by process."""

    case: Case
    headway: list[float] = field(default_factory=list)
    celery: list[float] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        steps, ours = self.case.steps, statistics.median(self.headway)
        found: dict[str, Any] = {
            "title": self.case.title,
            "steps": steps,
            "headway_s": [round(s, 3) for s in self.headway],
            "headway_steps_per_s": round(steps / ours, 1),
            "cpu_us_per_step": {
                name: round(1e6 * seconds / (steps * len(self.headway)))
                for name, seconds in self.cpu.items()
            },
        }
        if self.case.ideal_s:
            found["share_of_ideal"] = round(self.case.ideal_s / ours, 3)
        if self.celery:
            theirs = statistics.median(self.celery)
            found |= {
                "celery_s": [round(s, 3) for s in self.celery],
                "celery_steps_per_s": round(steps / theirs, 1),
                "ratio": round(theirs / ours, 2),
            }
            if self.case.ideal_s:
                found["celery_share_of_ideal"] = round(self.case.ideal_s / theirs, 3)
        return found


class Measuring:
    """One call's measurements."""

    def __init__(
        self, ours: HeadwaySide, theirs: CanvasSide | None, *, rounds: int, quick: bool
    ) -> None:
        self._ours = ours
        self._theirs = theirs
        self._rounds = rounds
        self._quick = quick

    def all(self, names: Sequence[str]) -> dict[str, Any]:
        """Return each case's figures by its name, in the order of the names."""
        compared = {case.name: case for case in cases(self._quick)}
        special: dict[str, Callable[[], dict[str, Any]]] = {
            "W6": self._latency,
            "W7": self._arrivals,
            "W9": self._sizes,
        }
        return {
            name: special[name]() if name in special else self._compared(compared[name])
            for name in names
        }

    def _compared(self, case: Case) -> dict[str, Any]:
        figures = Figures(case)
        _tell(f"{case.name} {case.title}: ")
        self._ours.warm_up(case)
        if self._theirs is not None:
            _tell(f"Celery on {self._theirs.choose(case)}; ")
        for _ in range(self._rounds):
            self._headway(figures)
            if self._theirs is not None:
                figures.celery.append(self._theirs.measure(case))
                _tell(f"/{figures.celery[-1]:.2f} ")
        _tell("\n")
        found = figures.as_dict()
        if self._theirs is not None:
            found["celery_pool"] = self._theirs.pools[case.name]
        return found

    def _headway(self, figures: Figures) -> None:
        before = self._ours.cpu_seconds()
        figures.headway.append(self._ours.measure(figures.case))
        for part, seconds in self._ours.cpu_seconds().items():
            used = seconds - before.get(part, seconds)
            figures.cpu[part] = figures.cpu.get(part, 0.0) + used
        _tell(f"{figures.headway[-1]:.2f}")

    def _latency(self) -> dict[str, Any]:
        case = latency(self._quick)
        _tell(f"W6 {case.title}: ")
        self._ours.warm_up(case)
        gaps: list[float] = []
        for _ in range(self._rounds * _CHAINS):
            gaps += self._ours.gaps_ms(case)
        hundredths = statistics.quantiles(gaps, n=100)
        _tell(f"{len(gaps)} gaps\n")
        return {
            "title": case.title,
            "samples": len(gaps),
            "p50_ms": round(hundredths[49], 2),
            "p99_ms": round(hundredths[98], 2),
        }

    def _arrivals(self) -> dict[str, Any]:
        """Return what became of runs that arrive by webhook, by their number a second."""
        found = {}
        for rate in arrivals.RATES:
            _tell(f"W7 {rate} a second: ")
            found[str(rate)] = arrivals.measure(self._ours, rate, SystemClock(), quick=self._quick)
            _tell("drained\n")
        return found

    def _sizes(self) -> dict[str, Any]:
        """Return what a step costs in graphs of several sizes."""
        all_figures = [Figures(case) for case in sizes(self._quick)]
        for figures in all_figures:
            _tell(f"W9 {figures.case.title}: ")
            self._ours.warm_up(figures.case)
            for _ in range(self._rounds):
                self._headway(figures)
                _tell(" ")
            _tell("\n")
        wall: dict[str, float] = {}
        cpu: dict[str, dict[str, int]] = {}
        for figures in all_figures:
            size = str(sum(figures.case.layers)) + (" items" if figures.case.items else "")
            steps = figures.case.steps
            wall[size] = round(1e6 * statistics.median(figures.headway) / steps)
            cpu[size] = figures.as_dict()["cpu_us_per_step"]
        return {
            "title": "cost of a step in graphs of several sizes, the same number of steps in all",
            "us_per_step": wall,
            "cpu_us_per_step": cpu,
            "spread": round(max(wall.values()) / min(wall.values()) - 1, 3),
        }


def _tell(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)
