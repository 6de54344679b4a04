"""Invariants of runs and steps: none is lost, doubled or stuck, and each ends as it should."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta

from tests.fault.checker.history import (
    RUN_ENDED,
    STEP_ENDED,
    History,
    PlannedStep,
    Row,
    Violation,
    is_marked,
    named,
)

_TIMER_KINDS = frozenset({"wait"})  # They end by the coordinator's clock and have no attempt.
_CANCEL_SLACK = timedelta(seconds=10)  # Of the cancelling transaction, from its clock to its end.


def i5(history: History) -> Iterator[Violation]:
    """An attempt is made only when the steps that it needs have ended as its `when` asks."""
    states: dict[str, dict[str, str]] = defaultdict(dict)
    for move in history.moves:
        if move.entity == "step":
            states[move.run][move.id] = move.after
        attempt = history.attempt_by_id.get(move.id) if move.entity == "attempt" else None
        run = history.run_by_id.get(move.run)
        if attempt is None or run is None or move.after != "dispatched":
            continue
        plan = history.planned(run)
        planned = plan.get(attempt["step"])
        if planned is None:
            continue
        why = _not_ready(plan, planned, states[move.run])
        if why is not None:
            yield Violation("I5", named(attempt), why)


def _not_ready(
    plan: dict[str, PlannedStep], step: PlannedStep, states: dict[str, str]
) -> str | None:
    if step.final:
        early = [
            s.name for s in plan.values() if not s.final and states.get(s.name) not in STEP_ENDED
        ]
        if early:
            return f"is of `finally` and was made before {early[0]} had ended"
    ends = [_counts_as(plan[need], states.get(need)) for need in step.needs]
    if ends and not _satisfied(step.when, ends):
        return f"was made while its needs were {dict(zip(step.needs, ends, strict=True))}"
    return None


def _counts_as(step: PlannedStep, state: str | None) -> str:
    if state not in STEP_ENDED:
        return "open"
    if state in ("failed", "cancelled"):
        return "succeeded" if step.allow_failure else "failed"
    return str(state)


def _satisfied(when: str, ends: Sequence[str]) -> bool:
    """Say whether a step with this `when` may run; `ends` has one entry a need."""
    some = set(ends)
    done = "open" not in some
    bad = bool(some & {"failed", "upstream_failed"})
    match when:
        case "all_succeeded":
            return some == {"succeeded"}
        case "all_failed":
            return some <= {"failed", "upstream_failed"}
        case "all_done":
            return done
        case "all_skipped":
            return some == {"skipped"}
        case "any_succeeded":
            return "succeeded" in some
        case "any_failed":
            return bad
        case "any_done":
            return bool(some & {"succeeded", "failed"})
        case "none_failed":
            return done and not bad
        case "none_skipped":
            return done and "skipped" not in some
        case "none_failed_min_one_success":
            return done and not bad and "succeeded" in some
        case "all_done_min_one_success":
            return done and "skipped" not in some and "succeeded" in some
        case _:
            return True  # always


def i9(history: History) -> Iterator[Violation]:
    """An accepted request is exactly one run, and there is no run that nobody asked for."""
    asked = Counter(row["run"] for row in history.inbox if row["kind"] == "run")
    for run in history.runs:
        if asked[run["id"]] != 1:
            yield Violation("I9", f"run {run['id']}", f"was asked for {asked[run['id']]} times")
    for row in history.inbox:
        if row["kind"] != "run" or row["applied_at"] is None:
            continue
        if row["run"] not in history.run_by_id:
            yield Violation("I9", f"inbox {row['id']}", f"run {row['run']}: {row['result']}")
    of_key: dict[str, str] = {}
    for promise in history.accepted or []:
        if not asked[promise.run]:
            yield Violation("I9", f"run {promise.run}", "was promised and is not there")
        if of_key.setdefault(promise.key, promise.run) != promise.run:
            yield Violation("I9", f"run {promise.run}", f"is a second one for key {promise.key}")


def i10(history: History) -> Iterator[Violation]:
    """Every run ends."""
    for run in history.runs:
        if run["state"] not in RUN_ENDED:
            aside = f", set aside: {run['quarantine']}" if run["quarantine"] else ""
            yield Violation("I10", f"run {run['id']}", f"is still {run['state']}{aside}")


def i11(history: History) -> Iterator[Violation]:
    """A step has succeeded if and only if one attempt has, and the outputs are that one's.

    Or a person marked it: then the audit knows who asked for that.
    """
    ended = {(e.run, e.step, e.no) for e in history.effects if e.event == "end"}
    telling = {
        (history.run_by_id[e.run]["pipeline"], e.step)
        for e in history.effects
        if e.run in history.run_by_id
    }
    for step in history.steps:
        run = history.run_by_id[step["run_id"]]
        planned = history.planned(run).get(step["key"])
        if planned is None or planned.kind in _TIMER_KINDS:
            continue
        row = f"step {step['run_id']} {step['key']}"
        if is_marked(step["reason"]):
            if not _was_asked(history, step):
                yield Violation("I11", row, f"is {step['reason']}, and nobody asked for it")
            continue
        good = _succeeded(history, step)
        if len(good) != (step["state"] == "succeeded"):
            yield Violation("I11", row, f"is {step['state']} with {len(good)} good attempts")
            continue
        for attempt in good:
            told = step["outputs"].get("attempt")
            if told not in (None, attempt["no"]):
                yield Violation("I11", row, f"has the outputs of #{told}, not #{attempt['no']}")
            key = (step["run_id"], step["key"], attempt["no"])
            if (run["pipeline"], step["key"]) in telling and key not in ended:
                yield Violation("I11", row, f"has succeeded but #{attempt['no']} never finished")


def _was_asked(history: History, step: Row) -> bool:
    return any(
        change["entity"] == "request"
        and change["asked"] == "MarkRequested"
        and "ignored" not in change
        and step["key"] in change["steps"]
        and change["state"] == step["state"]
        for row in history.audit
        if row["run"] == step["run_id"]
        for change in row["transitions"]
    )


def _succeeded(history: History, step: Row) -> list[Row]:
    """Return the good attempts since a person last took the step back, if one did."""
    key = (step["run_id"], step["key"])
    since = history.reopened_at.get(key, -1)
    return [
        row
        for row in history.attempts_of.get(key, [])
        if row["state"] == "succeeded" and history.made_at.get(row["id"], 0) >= since
    ]


def i12(history: History) -> Iterator[Violation]:
    """A run's end follows from its steps'."""
    steps: dict[str, list[Row]] = defaultdict(list)
    for step in history.steps:
        steps[step["run_id"]].append(step)
    for run in history.runs:
        if run["state"] not in RUN_ENDED:
            continue
        row = f"run {run['id']}"
        plan = history.planned(run)
        open_ones = [s["key"] for s in steps[run["id"]] if s["state"] not in STEP_ENDED]
        if open_ones:
            yield Violation("I12", row, f"is {run['state']} while {open_ones[0]} has not ended")
            continue
        bad = [
            s["key"]
            for s in steps[run["id"]]
            if s["state"] in ("failed", "cancelled")
            and not (s["key"] in plan and plan[s["key"]].allow_failure)
        ]
        expected = run["verdict"] or ("failed" if bad else "succeeded")
        if run["state"] != expected:
            yield Violation("I12", row, f"is {run['state']}; its steps say {expected} ({bad})")


def i13(history: History) -> Iterator[Violation]:
    """Once a run is being cancelled, no further attempt of its main steps is made or claimed.

    While it is paused, none at all is made.
    """
    cancelled: dict[str, int] = {}
    paused: set[str] = set()
    for move in history.moves:
        if move.entity == "run":
            if move.after == "cancelling":
                cancelled[move.run] = move.position
            elif move.before in RUN_ENDED:
                cancelled.pop(move.run, None)  # taken up again by a person
            (paused.add if move.after == "paused" else paused.discard)(move.run)
        attempt = history.attempt_by_id.get(move.id) if move.entity == "attempt" else None
        if attempt is None or move.after != "dispatched":
            continue
        if move.run in paused:
            yield Violation("I13", named(attempt), "was made while its run was paused")
        if move.run not in cancelled:
            continue
        plan = history.planned(history.run_by_id[move.run])
        if attempt["step"] in plan and not plan[attempt["step"]].final:
            yield Violation("I13", named(attempt), "was made after its run was cancelled")
    for row in history.attempts:
        claimed, asked = row["claimed_at"], row["cancel_at"]
        if claimed and asked and claimed > asked + _CANCEL_SLACK:
            yield Violation("I13", named(row), "was claimed after it was asked to stop")
