"""Invariants of attempts: made, claimed, executed and ended at most once each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

from tests.fault.checker.history import (
    ATTEMPT_ENDED,
    Execution,
    History,
    Move,
    Row,
    Violation,
    named,
    strictly_grows,
)

_LOSS_LIMIT = 3
# What the steps' clock cannot tell apart, and how far a row's time may lie before its commit.
_CLOCK_S = 0.05
_COMMIT = timedelta(seconds=2)


def i1(history: History) -> Iterator[Violation]:
    """An attempt ends once."""
    ends = history.moves_of("attempt")
    for row in history.attempts:
        moves = [m for m in ends.get((row["run_id"], row["id"]), []) if m.after in ATTEMPT_ENDED]
        # What was withdrawn before its claim has no end of its own in the audit.
        expected = row["state"] in ATTEMPT_ENDED and row["claimed_at"] is not None
        if len(moves) != expected:
            yield Violation("I1", named(row), f"is {row['state']} and ended {len(moves)} times")


def i2(history: History) -> Iterator[Violation]:
    """A step has at most one live attempt."""
    live = Counter((r["run_id"], r["step"]) for r in history.attempts if _is_live(r))
    for (run, step), count in live.items():
        if count > 1:
            yield Violation("I2", f"step {run} {step}", f"has {count} live attempts")
    open_of: dict[tuple[str, str], str] = {}
    for move in history.moves:
        row = history.attempt_by_id.get(move.id) if move.entity == "attempt" else None
        if row is None:
            continue
        key = (move.run, row["step"])
        before = open_of.get(key)
        if move.after == "dispatched":
            if before is not None and not _was_withdrawn(history.attempt_by_id[before]):
                yield Violation("I2", named(row), f"was made while {before} was live")
            open_of[key] = move.id
        elif before == move.id:
            del open_of[key]


def i3(history: History) -> Iterator[Violation]:
    """A step's fences and the lease's epochs only grow; an epoch has one holder."""
    for (run, step), rows in history.attempts_of.items():
        if [r["no"] for r in rows] != list(range(1, len(rows) + 1)):
            yield Violation("I3", f"step {run} {step}", "its attempts are not numbered from 1")
        if not strictly_grows(r["fence"] for r in rows):
            yield Violation("I3", f"step {run} {step}", "a fence does not grow")
    holders: dict[int, str] = {}
    for row in sorted(history.audit, key=lambda r: r["id"]):
        if holders.setdefault(row["epoch"], row["holder"]) != row["holder"]:
            yield Violation("I3", f"audit {row['id']}", f"epoch {row['epoch']} has two holders")
    for lease in history.leases:
        if holders and lease["epoch"] < max(holders):
            yield Violation("I3", f"lease {lease['name']}", "its epoch has fallen")
    yield from _watched_epochs(history)


def _watched_epochs(history: History) -> Iterator[Violation]:
    boots: dict[int, tuple[str, str]] = {}
    newest = 0
    for seen in history.seen:
        if seen.epoch < newest:
            yield Violation("I3", f"lease at {seen.at}", f"epoch {seen.epoch} after {newest}")
        newest = max(newest, seen.epoch)
        if boots.setdefault(seen.epoch, (seen.holder, seen.boot)) != (seen.holder, seen.boot):
            yield Violation("I3", f"lease at {seen.at}", f"epoch {seen.epoch} has two holders")


def i6(history: History) -> Iterator[Violation]:
    """Nothing is executed without a committed claim of this worker and boot."""
    registered = {(row["worker"], row["boot"]) for row in history.boots}
    for row in history.attempts:
        if row["claimed_at"] and (row["worker"], row["boot"]) not in registered:
            yield Violation("I6", named(row), "was claimed by a boot that never registered")
    for run in history.executions:
        what = _unclaimed(history, run, history.attempt_by_no.get((run.run, run.step, run.no)))
        if what is not None:
            yield Violation("I6", f"execution {run.run} {run.step} #{run.no}", what)
    for note in history.journals:
        noted = history.attempt_by_id.get(note.attempt)
        held = noted and (noted["worker"], noted["boot"], noted["fence"])
        if note.has_begun and held != (note.worker, note.boot, note.fence):
            yield Violation("I6", f"journal of {note.worker}", f"began {note.attempt} unclaimed")


def _unclaimed(history: History, run: Execution, row: Row | None) -> str | None:
    if row is None or row["claimed_at"] is None:
        return "started without a claim"
    worker = history.worker_of(run.folder)
    if worker is not None and worker != row["worker"]:
        return f"started on {worker}, claimed by {row['worker']}"
    if history.wall_minus_monotonic is not None:
        started = run.start + history.wall_minus_monotonic
        if started < row["claimed_at"].timestamp() - _CLOCK_S:
            return "started before its claim"
    return None


def i7(history: History) -> Iterator[Violation]:
    """An attempt is started at most once."""
    for (run, step, no), count in Counter(
        (e.run, e.step, e.no) for e in history.executions
    ).items():
        if count > 1:
            yield Violation("I7", f"execution {run} {step} #{no}", f"started {count} times")


def i8(history: History) -> Iterator[Violation]:
    """Executions of a step's attempts do not overlap."""
    of_step: dict[tuple[str, str], list[Execution]] = defaultdict(list)
    for one in history.executions:
        of_step[one.run, one.step].append(one)
    for (run, step), found in of_step.items():
        found.sort(key=lambda e: e.start)
        for before, after in pairwise(found):
            late = before.last - after.start
            if before.no != after.no and late > _CLOCK_S:
                what = f"#{before.no} still ran {late:.2f} s after #{after.no} had started"
                yield Violation("I8", f"execution {run} {step}", what)


def i14(history: History) -> Iterator[Violation]:
    """Failures and losses are counted apart, and neither exceeds what is allowed."""
    reopened = history.reopened_at
    for step in history.steps:
        key = (step["run_id"], step["key"])
        run = history.run_by_id[step["run_id"]]
        planned = history.planned(run).get(step["key"])
        if planned is None:
            continue
        since = [
            r["state"]
            for r in history.attempts_of.get(key, [])
            if history.made_at.get(r["id"], -1) > reopened.get(key, -1) or key not in reopened
        ]
        failures, losses = since.count("failed") + since.count("timed_out"), since.count("lost")
        row = f"step {step['run_id']} {step['key']}"
        if failures > planned.retries + 1:
            yield Violation("I14", row, f"failed {failures} times, {planned.retries} retries")
        if losses > _LOSS_LIMIT + 1:
            yield Violation("I14", row, f"was lost {losses} times")
        if (step["failures"], step["losses"]) != (failures, losses):
            counted = f"{step['failures']} failures and {step['losses']} losses"
            yield Violation("I14", row, f"counts {counted}; there were {failures} and {losses}")


def i17(history: History) -> Iterator[Violation]:
    """No worker executes more at the same time than it has slots."""
    slots = {row["worker"]: row["slots"] for row in history.workers}
    of_worker: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for one in history.executions:
        worker = history.worker_of(one.folder)
        if worker is not None:
            # An end counts before a start at the same tick of the steps' clock.
            of_worker[worker] += [(one.start + _CLOCK_S, 1), (one.last, -1)]
    for worker, edges in of_worker.items():
        running = most = 0
        for _, step in sorted(edges):
            running += step
            most = max(most, running)
        if most > slots.get(worker, 0):
            yield Violation("I17", f"worker {worker}", f"ran {most} on {slots.get(worker)} slots")


def i18(history: History) -> Iterator[Violation]:
    """No lease was given up before it was over, nor by a leader that had not led for that long."""
    led_since: dict[int, float] = {}
    for seen in history.seen:
        led_since.setdefault(seen.epoch, seen.at.timestamp())
    for move in history.moves:
        row = history.attempt_by_id.get(move.id) if move.entity == "attempt" else None
        if row is None or move.after != "lost" or not _ran_out(row):
            continue
        if row["lease_expires_at"] > row["finished_at"] + _COMMIT:
            yield Violation("I18", named(row), "was given up before its lease had run out")
        yield from _hasty(history, led_since, move, row)


def _hasty(
    history: History, led_since: dict[int, float], move: Move, row: Row
) -> Iterator[Violation]:
    lease, since = history.worker_lease_s, led_since.get(move.epoch)
    if lease is None or since is None:
        return
    led = move.at.timestamp() - since
    if led < lease - 1.0:
        yield Violation("I18", named(row), f"was given up by a leader of {led:.1f} s")


def _ran_out(row: Row) -> bool:
    """Say whether the sweep gave the attempt up, not its own worker or that one's next boot."""
    code = (row["error"] or {}).get("code")
    return row["reason"] == "lease_expired" and code == "infra_lost"


def _is_live(row: Row) -> bool:
    return row["state"] not in ATTEMPT_ENDED


def _was_withdrawn(row: Row) -> bool:
    return row["state"] == "cancelled" and row["claimed_at"] is None
