"""Recovery times that can only be read from the history, once all is over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from tests.fault.chaos.report import Measure
from tests.fault.checker.history import Execution, History

_CLOCK_S = 0.05


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


def add_repeats(
    history: History, measure: Measure, killed: list[tuple[str, datetime]], *, reason: str = ""
) -> None:
    """Add, for each (state folder, time) of a worker's kill, when its lost steps ran again."""
    offset = history.wall_minus_monotonic or 0.0
    starts = {(e.run, e.step, e.no): e.start for e in history.executions}
    for folder, at in killed:
        moment = at.timestamp() - offset
        for one in _alive(history, folder, moment):
            row = history.attempt_by_no[one.run, one.step, one.no]
            again = starts.get((one.run, one.step, one.no + 1))
            if row["state"] == "lost" and again is not None:
                measure.add(again - moment)


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
    workers = {w for state, w in history.folders.items() if state.startswith(folder)}
    return [r["claimed_at"] for r in history.attempts if r["worker"] in workers]


def add_first_claim(
    history: History, measure: Measure, folder: str, restored: list[datetime]
) -> None:
    """Add how long after each time the worker claimed again."""
    for at in restored:
        later = [claimed for claimed in claims_of(history, folder) if claimed > at]
        if later:
            measure.add((min(later) - at).total_seconds())


def _alive(history: History, folder: str, moment: float) -> Iterator[Execution]:
    """Yield what was executing in a state folder at a moment."""
    over = {
        (e.run, e.step, e.no)
        for e in history.effects
        if e.event in ("end", "fail") and e.at <= moment + _CLOCK_S
    }
    for one in history.executions:
        inside = one.folder.startswith(folder + "/")
        if inside and one.start < moment and (one.run, one.step, one.no) not in over:
            yield one
