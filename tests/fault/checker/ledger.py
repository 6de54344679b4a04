"""Invariants of what is written down: the audit, the inbox, disks, and who may see and say what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.fault.checker.history import ATTEMPT_ENDED, History, Violation, named

_TABLES = (
    "runs", "steps", "attempts", "inbox", "leases", "workers", "boots", "audit", "definitions",
)  # fmt: skip


def i4(history: History) -> Iterator[Violation]:
    """In the order of its commits the audit's epochs never fall: a deposed leader wrote nothing."""
    newest = 0
    for row in sorted(history.audit, key=lambda r: r["id"]):
        if row["epoch"] < newest:
            yield Violation("I4", f"audit {row['id']}", f"epoch {row['epoch']} after {newest}")
        newest = max(newest, row["epoch"])


def i15(history: History) -> Iterator[Violation]:
    """A completion that was taken from the inbox is what its attempt ended with."""
    for row in history.inbox:
        if row["kind"] != "completion" or row["result"] != "applied":
            continue
        body = row["body"]
        attempt = history.attempt_by_id.get(body["attempt"])
        found = attempt and (attempt["state"], attempt["fence"])
        if found != (body["outcome"], body["fence"]):
            what = f"{body['attempt']} was reported {body['outcome']} and is {found}"
            yield Violation("I15", f"inbox {row['id']}", what)


def i16(history: History) -> Iterator[Violation]:
    """No dispatch is left over: each was taken or withdrawn."""
    for row in history.attempts:
        if row["state"] == "dispatched":
            yield Violation("I16", named(row), f"was rung {row['dispatch_no']} times, never taken")


def i20(history: History) -> Iterator[Violation]:
    """What belongs to a team is moved by that team's alone."""
    team_of = {row["worker"]: row["team"] for row in history.workers}
    for row in history.audit:
        run = history.run_by_id.get(row["run"])
        if run is not None and row["team"] != run["team"]:
            yield Violation("I20", f"audit {row['id']}", f"{row['team']} moved {run['team']}'s run")
    for row in history.attempts:
        run = history.run_by_id[row["run_id"]]
        teams = {row["team"], row["queue"].partition(".")[0], run["team"]}
        if row["worker"] is not None:
            teams.add(team_of.get(row["worker"], "nobody"))
        if len(teams) > 1:
            yield Violation("I20", named(row), f"is of several teams: {sorted(teams)}")


def i21(history: History) -> Iterator[Violation]:
    """No secret lies in a row or a log."""
    for canary in history.canaries:
        for table in _TABLES:
            for row in getattr(history, table):
                if canary in json.dumps(row, default=str):
                    row_id = row.get("id") or row.get("run_id") or row.get("worker")
                    yield Violation("I21", f"{table} {row_id}", "holds a secret")
        for name, text in history.texts:
            if canary in text:
                yield Violation("I21", f"log {name}", "holds a secret")


def i22(history: History) -> Iterator[Violation]:
    """All is quiet: nothing in the inbox, on a worker's disk or in a journal waits to be heard."""
    for row in history.inbox:
        if row["applied_at"] is None:
            yield Violation("I22", f"inbox {row['id']}", f"its {row['kind']} was never applied")
    for one in history.spools:
        if not _has_ended(history, one.attempt):
            yield Violation("I22", f"spool of {one.worker}", f"{one.attempt} is not recorded")
    for note in history.journals:
        if note.is_open and _has_ended(history, note.attempt):
            yield Violation("I22", f"journal of {note.worker}", f"{note.attempt} is still open")


def i23(history: History) -> Iterator[Violation]:
    """The audit, told from the beginning, ends with the rows as they are."""
    rows = {("run", r["id"], r["id"]): r["state"] for r in history.runs}
    rows |= {("step", s["run_id"], s["key"]): s["state"] for s in history.steps}
    told: dict[tuple[str, str, str], str] = {}
    for move in history.moves:
        if move.entity == "attempt":
            continue
        key = (move.entity, move.run, move.id)
        was = told.get(key, "pending" if move.entity == "step" else None)
        if move.before != was:
            what = f"{move.entity} {move.id} was {was}, moved from {move.before}"
            yield Violation("I23", f"audit {move.audit}", what)
        told[key] = move.after
    for key, state in rows.items():
        end = told.get(key, "pending" if key[0] == "step" else None)
        if end != state:
            yield Violation("I23", f"{key[0]} {key[1]} {key[2]}", f"is {state}, told as {end}")
    ends = {m.id: m.after for m in history.moves if m.entity == "attempt"}
    for row in history.attempts:
        told_end = ends.get(row["id"])
        if told_end in ATTEMPT_ENDED and told_end != row["state"]:
            yield Violation("I23", named(row), f"is {row['state']}, told as {told_end}")
        if told_end is None:
            yield Violation("I23", named(row), "was never told of")


def i24(history: History) -> Iterator[Violation]:
    """What was forged changed nothing."""
    if history.forged is None:
        return
    for table in ("runs", "steps", "attempts", "inbox"):
        for row in getattr(history, table):
            if history.forged in json.dumps(_said(row), default=str):
                yield Violation("I24", f"{table} {row.get('id') or row['run_id']}", "is forged")


def _said(row: Any) -> dict[str, Any]:
    return {k: row[k] for k in ("reason", "error", "outputs", "body", "result") if k in row}


def _has_ended(history: History, attempt: str) -> bool:
    row = history.attempt_by_id.get(attempt)
    return row is not None and row["state"] in ATTEMPT_ENDED
