"""Recovery times that can only be read from the history, once all is over."""

from __future__ import annotations

from datetime import datetime

from tests.fault.chaos.report import Measure
from tests.fault.checker.history import History, Row


def add_takeovers(history: History, measure: Measure, killed: list[tuple[int, datetime]]) -> None:
    """Add, for each (epoch, time) at which a leader was killed, how long no attempt was made."""
    for epoch, at in killed:
        made = [
            move.at
            for move in history.moves
            if move.entity == "attempt" and move.after == "dispatched" and move.epoch > epoch
        ]
        if made:
            measure.add((min(made) - at).total_seconds())


def add_repeats(history: History, measure: Measure, killed: list[tuple[str, datetime]]) -> None:
    """Add, for each (state folder, time) of a worker's kill, when what it had claimed ran again."""
    offset = history.wall_minus_monotonic or 0.0
    starts = {(e.run, e.step, e.no): e.start for e in history.executions}
    for folder, at in killed:
        workers = _workers_of(history, folder)
        for row in history.attempts:
            if row["worker"] in workers and row["state"] == "lost" and _spans(row, at):
                again = starts.get((row["run_id"], row["step"], row["no"] + 1))
                if again is not None:
                    measure.add(again + offset - at.timestamp())


def add_records(
    history: History, measure: Measure, since: datetime, until: datetime, folder: str = ""
) -> None:
    """Add, for each attempt that finished in between, how long its end took to be recorded."""
    offset = history.wall_minus_monotonic or 0.0
    ends = {
        move.id: move.at.timestamp()
        for move in history.moves
        if move.entity == "attempt" and move.before == "running"
    }
    for effect in history.effects:
        finished = effect.at + offset
        within = since.timestamp() < finished < until.timestamp()
        if effect.event in ("end", "fail") and within and effect.folder.startswith(folder):
            row = history.attempt_by_no[effect.run, effect.step, effect.no]
            if row["id"] in ends and row["state"] != "lost":
                measure.add(ends[row["id"]] - finished)


def claims_of(history: History, folder: str) -> list[datetime]:
    """Return when the worker of a state folder claimed attempts."""
    workers = _workers_of(history, folder)
    return [r["claimed_at"] for r in history.attempts if r["worker"] in workers]


def add_first_claim(
    history: History, measure: Measure, folder: str, restored: list[datetime]
) -> None:
    """Add how long after each time the worker claimed again."""
    for at in restored:
        later = [claimed for claimed in claims_of(history, folder) if claimed > at]
        if later:
            measure.add((min(later) - at).total_seconds())


def _workers_of(history: History, folder: str) -> set[str]:
    return {worker for state, worker in history.folders.items() if state.startswith(folder + "/")}


def _spans(row: Row, moment: datetime) -> bool:
    claimed, finished = row["claimed_at"], row["finished_at"]
    return claimed is not None and claimed < moment < finished
