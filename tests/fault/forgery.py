"""A good history, made by hand, that tests spoil in one place each.

One run `r1` of a pipeline with three steps, `a` → `b` and `clean` in `finally`. The worker of `a`'s
first attempt was killed, so `a` has two; `b` failed once and was retried, its second end came by
HTTP. A second run `r2` was cancelled while its `a` ran.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.fault.checker.history import Accepted, Effect, History, Noted, Row, Seen, Spooled

START = datetime(2026, 1, 1, tzinfo=UTC)
LEASE_S = 60.0
STATE = "/state/worker-0"
DIGEST = "d1"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def good() -> History:
    """Return the history; every call makes a new one."""
    return History(
        runs=[
            _run("r1", "succeeded", verdict=None),
            _run("r2", "cancelled", verdict="cancelled"),
        ],
        steps=[
            _step("r1", "a", "succeeded", attempts=2, losses=1, outputs={"attempt": 2}),
            _step("r1", "b", "succeeded", attempts=2, failures=1, outputs={"attempt": 2}),
            _step("r1", "clean", "succeeded", attempts=1, outputs={"attempt": 1}),
            _step("r2", "a", "cancelled", attempts=1),
            _step("r2", "b", "cancelled"),
            _step("r2", "clean", "succeeded", attempts=1, outputs={"attempt": 1}),
        ],
        attempts=[
            _attempt("r1", "a", 1, "lost", reason="lease_expired", finished_at=at(170)),
            _attempt("r1", "a", 2, "succeeded", boot="boot2"),
            _attempt("r1", "b", 1, "failed", boot="boot2"),
            _attempt("r1", "b", 2, "succeeded", boot="boot2"),
            _attempt("r1", "clean", 1, "succeeded", boot="boot2"),
            _attempt("r2", "a", 1, "cancelled", boot="boot2", cancel_at=at(230)),
            _attempt("r2", "clean", 1, "succeeded", boot="boot2"),
        ],
        inbox=[
            _inbox(1, "r1", "run", {}),
            _inbox(2, "r1", "completion", _completion("r1-b-2", 2, "succeeded")),
            _inbox(3, "r2", "run", {}),
            _inbox(4, "r2", "cancel", {"reason": None}),
        ],
        leases=[{"name": "advance/0", "epoch": 2, "holder": "e2", "boot": "x2"}],
        workers=[{"worker": "w1", "boot": "boot2", "team": "red", "slots": 2, "queues": []}],
        boots=[{"worker": "w1", "boot": boot} for boot in ("boot1", "boot2")],
        audit=_audit(),
        definitions=[
            {"team": "red", "pipeline": "p", "digest": DIGEST, "canonical": _canonical()},
        ],
        effects=_effects(),
        journals=[Noted("w1", "r1-b-2", 2, "boot2", is_open=False)],
        spools=[Spooled("w1", "r1-b-2")],
        folders={STATE: "w1"},
        accepted=[Accepted("r1", "k1"), Accepted("r2", "k2")],
        seen=[Seen(at(0), 1, "e1", "x1"), Seen(at(100), 2, "e2", "x2")],
        texts=[("worker.log", "worker_ready")],
        canaries=["hw_secret"],
        forged="forged",
        worker_lease_s=LEASE_S,
    )


def change(rows: Sequence[Row], where: Mapping[str, Any], **values: Any) -> None:
    """Spoil the one row that is meant."""
    found = [row for row in rows if all(row[k] == v for k, v in where.items())]
    assert len(found) == 1, f"{len(found)} rows with {where}"
    _own(found[0]).update(values)


def audit_row(history: History, id: int) -> dict[str, Any]:
    return _own(next(row for row in history.audit if row["id"] == id))


def _own(row: Row) -> dict[str, Any]:
    """Return a row of a forged history as what it is: one that can be spoiled."""
    assert isinstance(row, dict)
    return row


def _run(id: str, state: str, verdict: str | None) -> dict[str, Any]:
    return {
        "id": id, "team": "red", "pipeline": "p", "digest": DIGEST, "state": state,
        "verdict": verdict, "reason": None, "quarantine": None,
    }  # fmt: skip


def _step(run: str, key: str, state: str, **given: Any) -> dict[str, Any]:
    row = {
        "run_id": run, "key": key, "state": state, "attempts": 0, "failures": 0, "losses": 0,
        "reason": None, "outputs": {}, "error": None,
    }  # fmt: skip
    return {**row, **given}


def _attempt(run: str, step: str, no: int, state: str, **given: Any) -> dict[str, Any]:
    lost = state == "lost"
    row = {
        "id": f"{run}-{step}-{no}", "run_id": run, "step": step, "no": no, "fence": no,
        "state": state, "team": "red", "queue": "red.default", "worker": "w1", "boot": "boot1",
        "claimed_at": at(10), "lease_expires_at": at(160), "cancel_at": None, "dispatch_no": 1,
        "finished_at": at(200), "reason": None, "exit_code": None,
        "error": {"code": "infra_lost"} if lost else None,
    }  # fmt: skip
    return {**row, **given}


def _inbox(id: int, run: str, kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": id, "run": run, "kind": kind, "body": body, "applied_at": at(5), "result": "applied",
    }  # fmt: skip


def _completion(attempt: str, fence: int, outcome: str) -> dict[str, Any]:
    return {"attempt": attempt, "fence": fence, "outcome": outcome}


def _canonical() -> dict[str, Any]:
    def step(name: str, *needs: str, retries: int = 0) -> dict[str, Any]:
        return {
            "name": name, "kind": "run", "needs": list(needs), "when": "all_succeeded",
            "retry": {"max": retries}, "allow_failure": False,
        }  # fmt: skip

    return {"steps": [step("a"), step("b", "a", retries=1)], "finally": [step("clean")]}


def _audit() -> list[Row]:
    """The audit in rows of one transaction and run each, written as `thing: from → to`."""
    told: list[tuple[str, int, str]] = [
        ("r1", 1, "run:-queued"),
        ("r1", 1, "run:queued-running step.a:pending-ready step.a:ready-running made.a-1"),
        ("r1", 2, "end.a-1:lost step.a:running-ready step.a:ready-running made.a-2"),
        ("r1", 2, "end.a-2:succeeded step.a:running-succeeded step.b:pending-ready"),
        ("r1", 2, "step.b:ready-running made.b-1"),
        ("r1", 2, "end.b-1:failed step.b:running-retry_wait"),
        ("r1", 2, "step.b:retry_wait-ready step.b:ready-running made.b-2"),
        ("r1", 2, "end.b-2:succeeded step.b:running-succeeded step.clean:pending-ready"),
        ("r1", 2, "step.clean:ready-running made.clean-1"),
        ("r1", 2, "end.clean-1:succeeded step.clean:running-succeeded run:running-succeeded"),
        ("r2", 2, "run:-queued run:queued-running step.a:pending-ready"),
        ("r2", 2, "step.a:ready-running made.a-1"),
        ("r2", 2, "run:running-cancelling step.b:pending-cancelled"),
        ("r2", 2, "end.a-1:cancelled step.a:running-cancelled step.clean:pending-ready"),
        ("r2", 2, "step.clean:ready-running made.clean-1"),
        ("r2", 2, "end.clean-1:succeeded step.clean:running-succeeded run:cancelling-cancelled"),
    ]
    return [
        {
            "id": id, "at": at(10 * id + 140), "epoch": epoch, "holder": f"e{epoch}",
            "actor": "coordinator", "team": "red", "run": run,
            "transitions": [_transition(run, word) for word in words.split()],
        }
        for id, (run, epoch, words) in enumerate(told, start=1)
    ]  # fmt: skip


def _transition(run: str, word: str) -> dict[str, Any]:
    """`run:-queued`, `step.a:pending-ready`, `made.a-1` or `end.a-1:lost`."""
    what, _, move = word.partition(":")
    entity, _, id = what.partition(".")
    if entity == "made":
        return {"entity": "attempt", "id": f"{run}-{id}", "to": "dispatched"}
    if entity == "end":
        return {"entity": "attempt", "id": f"{run}-{id}", "from": "running", "to": move}
    before, _, after = move.partition("-")
    told: dict[str, Any] = {"entity": entity, "to": after}
    if id:
        told["id"] = id
    if before:
        told["from"] = before
    return told


def _effects() -> list[Effect]:
    def lines(run: str, step: str, no: int, since: float, *events: str) -> list[Effect]:
        folder = f"{STATE}/scratch/{run}-{step}-{no}"
        return [
            Effect(run, step, no, event, since + second, pid=100 + no, folder=folder)
            for second, event in enumerate(events)
        ]

    return [
        *lines("r1", "a", 1, 10, "start", "tick"),
        *lines("r1", "a", 2, 175, "start", "tick", "end"),
        *lines("r1", "b", 1, 180, "start", "fail"),
        *lines("r1", "b", 2, 190, "start", "end"),
        *lines("r1", "clean", 1, 200, "start", "end"),
        *lines("r2", "a", 1, 220, "start", "tick"),
        *lines("r2", "clean", 1, 240, "start", "end"),
    ]


Spoil = Callable[[History], None]
