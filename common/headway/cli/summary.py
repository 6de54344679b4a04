"""An ended run in a few lines: the result, its outputs, its files, and where to see it."""

from __future__ import annotations

from typing import Any

from headway.cli.printing import clean, one_line, painted_run, size, span
from headway.cli.progress import transition
from headway.cli.snapshot import Snapshot, StepView

_TROUBLE = ("failed", "upstream_failed", "cancelled")


def print_summary(run: Snapshot, address: str | None) -> None:
    """Print the summary on stdout; with an address also where the run's page is."""
    state = f"{painted_run(run.raw)}{_allowed(run)}"
    print(f"{run.pipeline} {run.id}: {state} in {span(run.seconds())}")
    for step in run.steps:
        if step.state in _TROUBLE and (not step.is_child or step.state == "failed"):
            print(clean(f"  {step.name}: {transition(step)}"))
    _print_outputs(run)
    _print_artifacts(run)
    if address is not None:
        print(f"page: {address}/r/{run.id}")


def _allowed(run: Snapshot) -> str:
    """Return the failures of a run that succeeded all the same; its state would hide them."""
    failed = sum(step.state == "failed" and not step.is_child for step in run.steps)
    return f", {failed} failed (allowed)" if run.state == "succeeded" and failed else ""


def _print_outputs(run: Snapshot) -> None:
    rows: list[tuple[str, Any]] = []
    for step in run.steps:
        if isinstance(step.outputs, list):
            rows += [(step.name, step.outputs)] if any(step.outputs) else []
        elif not step.is_child:
            rows += [(f"{step.name}.{name}", value) for name, value in step.outputs.items()]
    if rows:
        print("outputs:")
    for name, value in rows:
        print(f"  {clean(name)} = {one_line(value)}")


def _print_artifacts(run: Snapshot) -> None:
    files = [(step, file) for step in run.steps if not step.is_child for file in step.artifacts]
    if files:
        print("artifacts:")
    for step, file in files:
        print(f"  {artifact_line(step, file.get('path'), file.get('size'))}")


def artifact_line(step: StepView, path: object, count: object) -> str:
    """Return a stored file's step, path and size."""
    return clean(f"{step.name}: {path} ({size(count)})")
