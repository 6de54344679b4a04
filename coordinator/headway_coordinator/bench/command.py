"""The command: private servers, both sides in turn, a table of ratios."""

from __future__ import annotations

import os
import secrets
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headway.clock import SystemClock
from headway.errors import DefinitionError
from headway_coordinator.bench.canvas_side import CanvasSide
from headway_coordinator.bench.cases import Case, cases
from headway_coordinator.bench.headway_side import HeadwaySide
from headway_coordinator.embedded import Stack, answers, broker, free_port
from headway_coordinator.supervision import Supervisor

SLOTS = 8


@dataclass(slots=True)
class Figures:
    """Seconds of each round on each side, and Headway's processor seconds by process."""

    case: Case
    headway: list[float] = field(default_factory=list)
    canvas: list[float] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        ours, theirs = statistics.median(self.headway), statistics.median(self.canvas)
        steps = self.case.steps
        rounds = len(self.headway)
        return {
            "case": self.case.name,
            "title": self.case.title,
            "steps": steps,
            "headway_s": [round(s, 3) for s in self.headway],
            "canvas_s": [round(s, 3) for s in self.canvas],
            "headway_steps_per_s": round(steps / ours, 1),
            "canvas_steps_per_s": round(steps / theirs, 1),
            "headway_ms_per_step": round(1000 * ours / steps, 2),
            "canvas_ms_per_step": round(1000 * theirs / steps, 2),
            "ratio": round(theirs / ours, 2),
            "cpu_us_per_step": {
                name: round(1e6 * seconds / (steps * rounds)) for name, seconds in self.cpu.items()
            },
        }


def run_bench(
    *, cases_wanted: Sequence[str] | None, rounds: int, quick: bool, as_json: bool
) -> int:
    """Measure and print; returns 0. A ratio above 1 says that Headway was faster."""
    chosen = [c for c in cases(quick) if not cases_wanted or c.name in cases_wanted]
    if not chosen:
        known = ", ".join(c.name for c in cases(quick))
        raise DefinitionError("no such case", code="wrong_use", hint=f"one of: {known}")
    with tempfile.TemporaryDirectory(prefix="headway-bench-") as name:
        figures, database = _measure(chosen, rounds, Path(name))
    if as_json:
        from headway.cli.printing import print_document

        document = {"slots": SLOTS, "database": database, "cases": [f.as_dict() for f in figures]}
        print_document(document)
    else:
        _print(figures, database)
    return 0


def _measure(chosen: Sequence[Case], rounds: int, folder: Path) -> tuple[list[Figures], str]:
    clock = SystemClock()
    supervisor = Supervisor(clock)
    database = os.environ.get("HEADWAY_BENCH_DATABASE_URL") or f"sqlite:///{folder}/bench.db"
    broker_url = os.environ.get("HEADWAY_BENCH_BROKER_URL") or _broker(supervisor, folder)
    ours = HeadwaySide(
        database_url=database,
        broker_url=f"{broker_url}/0",
        folder=folder,
        port=free_port(),
        slots=SLOTS,
        clock=clock,
    )
    theirs = CanvasSide(f"{broker_url}/1", SLOTS, folder, clock)
    figures = [Figures(case) for case in chosen]
    try:
        ours.start(supervisor)
        theirs.start(supervisor)
        for number in range(rounds):
            for entry in figures:
                _tell(f"round {number + 1}: {entry.case.title}: headway")
                before = ours.cpu_seconds()
                entry.headway.append(ours.measure(entry.case))
                for part, seconds in ours.cpu_seconds().items():
                    used = seconds - before[part]
                    entry.cpu[part] = entry.cpu.get(part, 0.0) + used
                _tell(f"  {entry.headway[-1]:.2f} s; canvas")
                entry.canvas.append(theirs.measure(entry.case))
                _tell(f"  {entry.canvas[-1]:.2f} s\n")
    except Exception:
        _show_logs(folder)
        raise
    finally:
        ours.close()
        supervisor.stop()
    return figures, database.split(":", 1)[0].split("+")[0]


def _tell(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)


def _broker(supervisor: Supervisor, folder: Path) -> str:
    (folder / "broker").mkdir()
    (folder / "logs").mkdir()
    stack = Stack(folder, "127.0.0.1:0", free_port(), secrets.token_hex(8))
    child = broker(stack)
    assert child is not None
    supervisor.start(child)
    clock = SystemClock()
    deadline = clock.monotonic() + 30
    while not answers(f"127.0.0.1:{stack.broker_port}") and clock.monotonic() < deadline:
        supervisor.tick()
    return stack.broker_url.removesuffix("/0")


def _show_logs(folder: Path) -> None:
    for log in sorted(folder.glob("*.log")):
        tail = log.read_text(errors="replace").splitlines()[-15:]
        print(f"--- {log.name}", *tail, sep="\n", file=sys.stderr)


def _print(figures: Sequence[Figures], database: str) -> None:
    print(f"{SLOTS} slots, {database}, medians; a ratio above 1 says that Headway was faster")
    row = "{:<16} {:>7} {:>12} {:>12} {:>12} {:>12} {:>7}"
    print(row.format("case", "steps", "headway", "canvas", "headway", "canvas", "ratio"))
    print(row.format("", "", "steps/s", "steps/s", "ms/step", "ms/step", ""))
    for entry in figures:
        d = entry.as_dict()
        print(
            row.format(
                d["title"],
                d["steps"],
                d["headway_steps_per_s"],
                d["canvas_steps_per_s"],
                d["headway_ms_per_step"],
                d["canvas_ms_per_step"],
                d["ratio"],
            )
        )
    for entry in figures:
        cpu = ", ".join(f"{k} {v} µs" for k, v in entry.as_dict()["cpu_us_per_step"].items())
        print(f"processor a step, {entry.case.title}: {cpu}")
