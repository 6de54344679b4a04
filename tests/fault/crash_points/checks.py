"""What must hold when everything has come to an end, whatever died on the way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from headway_coordinator.application.plans import Plans
from headway_coordinator.application.ports import Storage
from headway_coordinator.engine import invariants
from headway_coordinator.engine.state import RunState

Attempts = dict[tuple[str, str], dict[str, str]]  # run, step -> number -> how it ended


def violations(storage: Storage, runs: Sequence[str], trace: Path) -> list[str]:
    """Return a sentence for all that is lost, doubled, stuck or contradictory; best is none."""
    attempts: Attempts = {}
    problems: list[str] = []
    for run in runs:
        shown = storage.queries.run(run)
        if shown is None:
            problems.append(f"{run} is not there")
            continue
        problems += _of_run(shown)
        for step in shown["steps"]:
            ended = {str(a["no"]): str(a["state"]) for a in step["attempts"]}
            attempts[run, step["step"]] = ended
    lines = trace.read_text().splitlines() if trace.exists() else []
    return [*problems, *_of_rows(storage, runs), *overlaps(lines, attempts)]


def _of_run(shown: Mapping[str, Any]) -> Iterator[str]:
    if shown["state"] != "succeeded":
        yield f"{shown['id']} is {shown['state']}: {shown['reason']}"
    if shown["quarantine"]:
        yield f"{shown['id']} is set aside: {shown['quarantine']}"
    for step in shown["steps"]:
        if "items" in step:
            continue  # its attempts are its children's
        ended = [attempt["state"] for attempt in step["attempts"]]
        if ended.count("succeeded") != 1 or ended[-1] != "succeeded":
            yield f"{step['step']} of {shown['id']} has the attempts {ended}"
        if [a["no"] for a in step["attempts"]] != list(range(1, len(ended) + 1)):
            yield f"{step['step']} of {shown['id']} has a gap between its attempts"


def _of_rows(storage: Storage, runs: Sequence[str]) -> Iterator[str]:
    for entry in storage.inbox.pending():
        yield f"inbox row {entry.id} ({entry.kind}) of {entry.run} is not applied"
    for live in storage.sweeps.occupancy():
        yield f"{live.count} attempts of {live.queue} are still {live.state}"
    for run in storage.sweeps.stranded():
        yield f"{run} waits for an attempt that is not live"
    plans = Plans(storage.definitions)
    for stored in storage.runs.load(runs):
        state = RunState.of(plans.get(stored.run.digest), stored.run, stored.steps)
        yield from (f"{stored.run.id}: {problem}" for problem in invariants.check(state))


def overlaps(lines: Sequence[str], attempts: Attempts) -> Iterator[str]:
    """Yield where the steps' own notes show two at work at once, or one that worked twice.

    A line is `RUN STEP NUMBER start|end`. Whoever wrote after a later attempt had started
    overlapped it.
    """
    notes: defaultdict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for line in lines:
        run, step, no, what = line.split()
        notes[run, step].append((no, what))
    for key, ended in attempts.items():
        noted = notes[key]
        name = f"{key[1]} of {key[0]}"
        order = [int(no) for no, _ in noted]
        if order != sorted(order):
            yield f"{name}: an attempt wrote after a later one had started: {noted}"
        if len(set(noted)) != len(noted):
            yield f"{name}: an attempt ran twice: {noted}"
        for no, state in ended.items():
            wrote = [what for number, what in noted if number == no]
            if state in ("succeeded", "failed") and wrote != ["start", "end"]:
                yield f"{name}: attempt {no} {state} but wrote {wrote}"
        for no in {no for no, _ in noted} - set(ended):
            yield f"{name}: attempt {no} ran but is not recorded"
