"""The checker finds what it is for: each forged history is flagged for its own reason alone."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fault.checker import INVARIANTS, NOT_APPLICABLE, History, check, read
from tests.fault.checker.history import Accepted, Effect, Noted, Seen, Spooled
from tests.fault.forgery import STATE, Spoil, at, audit_row, change, good


def _ended_twice(h: History) -> None:
    end = {"entity": "attempt", "id": "r1-a-2", "from": "running", "to": "succeeded"}
    audit_row(h, 5)["transitions"].append(end)


def _ended_never(h: History) -> None:
    audit_row(h, 14)["transitions"].pop(0)


def _two_live(h: History) -> None:
    """`a`'s second attempt is made before its first one ended."""
    row = audit_row(h, 3)["transitions"]
    row.append(row.pop(0))


def _live_twice_in_rows(h: History) -> None:
    for no in (1, 2):
        change(h.attempts, {"id": f"r1-b-{no}"}, state="running")
        audit_row(h, {1: 6, 2: 8}[no])["transitions"].pop(0)
    change(h.steps, {"run_id": "r1", "key": "b"}, failures=0, state="failed")
    audit_row(h, 8)["transitions"][0]["to"] = "failed"
    change(h.runs, {"id": "r1"}, state="failed")
    audit_row(h, 10)["transitions"][-1]["to"] = "failed"
    change(h.inbox, {"id": 2}, result="stale: the attempt is not live")
    h.spools.clear()


def _fence_falls(h: History) -> None:
    change(h.attempts, {"id": "r1-a-2"}, fence=1)


def _number_missing(h: History) -> None:
    change(h.attempts, {"id": "r1-clean-1"}, no=2, fence=2)
    change(h.steps, {"run_id": "r1", "key": "clean"}, outputs={})
    h.effects[:] = [
        replace(e, no=2) if (e.run, e.step) == ("r1", "clean") else e for e in h.effects
    ]


def _two_holders(h: History) -> None:
    audit_row(h, 7)["holder"] = "e1"


def _lease_went_back(h: History) -> None:
    change(h.leases, {"epoch": 2}, epoch=1)


def _watched_epoch_of_two(h: History) -> None:
    h.seen.append(Seen(at(130), 2, "e2", "another boot"))


def _deposed_leader_wrote(h: History) -> None:
    audit_row(h, 9).update(epoch=1, holder="e1")


def _made_too_early(h: History) -> None:
    """`b`'s first attempt is made in the transaction before `a` ended."""
    audit_row(h, 5)["transitions"].insert(0, audit_row(h, 4)["transitions"].pop(2))
    early, late = audit_row(h, 5)["transitions"], audit_row(h, 4)["transitions"]
    audit_row(h, 4)["transitions"], audit_row(h, 5)["transitions"] = early, late


def _finally_too_early(h: History) -> None:
    """`clean` is made while `b`'s end is not yet told."""
    first, second = audit_row(h, 8), audit_row(h, 9)
    ready = first["transitions"].pop(2)
    first["transitions"], second["transitions"] = (
        [ready, *second["transitions"]],
        first["transitions"],
    )


def _executed_unclaimed(h: History) -> None:
    h.effects.append(Effect("r1", "b", 3, "start", 300, 9, f"{STATE}/scratch/x"))


def _executed_by_another(h: History) -> None:
    h.folders["/state/worker-1"] = "w2"
    h.workers.append({"worker": "w2", "boot": "b", "team": "red", "slots": 1, "queues": []})
    h.effects[:] = [
        replace(e, folder="/state/worker-1/scratch/x") if e.step == "b" and e.no == 2 else e
        for e in h.effects
    ]


def _executed_before_its_claim(h: History) -> None:
    h.wall_minus_monotonic = at(0).timestamp()
    change(h.attempts, {"id": "r1-b-2"}, claimed_at=at(195))


def _boot_unknown(h: History) -> None:
    change(h.attempts, {"id": "r1-clean-1"}, boot="never seen")


def _journal_of_another_fence(h: History) -> None:
    h.journals.append(Noted("w1", "r1-b-1", 7, "boot2", is_open=False))


def _started_twice(h: History) -> None:
    h.effects.append(Effect("r1", "clean", 1, "start", 205, 9, f"{STATE}/scratch/x"))


def _overlap(h: History) -> None:
    h.effects.append(Effect("r1", "a", 1, "tick", 175.5, 101, f"{STATE}/scratch/r1-a-1"))


def _promise_broken(h: History) -> None:
    assert h.accepted is not None
    h.accepted.append(Accepted("r3", "k3"))


def _promised_twice(h: History) -> None:
    assert h.accepted is not None
    h.accepted[1] = Accepted("r2", "k1")


def _nobody_asked(h: History) -> None:
    del h.inbox[2]


def _asked_but_never_made(h: History) -> None:
    h.inbox.append({**h.inbox[0], "id": 9, "run": "r9", "result": "refused: malformed"})


def _never_ends(h: History) -> None:
    change(h.runs, {"id": "r2"}, state="cancelling")
    audit_row(h, 16)["transitions"].pop()


def _success_without_attempt(h: History) -> None:
    change(h.attempts, {"id": "r1-clean-1"}, state="failed")
    audit_row(h, 10)["transitions"][0]["to"] = "failed"
    change(h.steps, {"run_id": "r1", "key": "clean"}, failures=1)


def _outputs_of_another(h: History) -> None:
    change(h.steps, {"run_id": "r1", "key": "a"}, outputs={"attempt": 1})


def _success_without_work(h: History) -> None:
    h.effects[:] = [e for e in h.effects if (e.run, e.step) != ("r2", "clean")]


def _wrong_end(h: History) -> None:
    change(h.runs, {"id": "r1"}, state="failed")
    audit_row(h, 10)["transitions"][-1]["to"] = "failed"


def _ended_with_open_step(h: History) -> None:
    """`r2` ends as cancelled before `finally` has begun."""
    change(h.steps, {"run_id": "r2", "key": "clean"}, state="pending", outputs={})
    h.attempts[:] = [row for row in h.attempts if row["id"] != "r2-clean-1"]
    h.effects[:] = [e for e in h.effects if (e.run, e.step) != ("r2", "clean")]
    audit_row(h, 14)["transitions"].pop()
    audit_row(h, 15)["transitions"] = []
    del audit_row(h, 16)["transitions"][:2]


def _made_after_cancel(h: History) -> None:
    row = audit_row(h, 13)["transitions"]
    row[1:1] = audit_row(h, 12)["transitions"]
    audit_row(h, 12)["transitions"] = []


def _made_while_paused(h: History) -> None:
    paused = {"entity": "run", "id": "r1", "from": "running", "to": "paused"}
    resumed = {"entity": "run", "id": "r1", "from": "paused", "to": "running"}
    audit_row(h, 4)["transitions"].append(paused)
    audit_row(h, 5)["transitions"].append(resumed)


def _marked_by_nobody(h: History) -> None:
    change(h.steps, {"run_id": "r1", "key": "b"}, reason="marked by ann")


def _claimed_after_cancel(h: History) -> None:
    change(h.attempts, {"id": "r2-a-1"}, claimed_at=at(250))


def _too_many_failures(h: History) -> None:
    canonical: dict[str, Any] = h.definitions[0]["canonical"]
    canonical["steps"][1]["retry"]["max"] = -1


def _miscounted(h: History) -> None:
    change(h.steps, {"run_id": "r1", "key": "a"}, losses=0)


def _completion_disregarded(h: History) -> None:
    change(h.inbox, {"id": 2}, body={"attempt": "r1-b-2", "fence": 2, "outcome": "failed"})


def _dispatch_left(h: History) -> None:
    change(h.attempts, {"id": "r2-a-1"}, state="dispatched", claimed_at=None, cancel_at=None)
    audit_row(h, 14)["transitions"].pop(0)
    h.effects[:] = [e for e in h.effects if (e.run, e.step) != ("r2", "a")]


def _too_many_at_once(h: History) -> None:
    """`r2`'s `a` starts while `r1`'s `clean` still runs on the only slot."""
    change(h.workers, {"worker": "w1"}, slots=1)
    h.effects[:] = [
        replace(e, at=e.at - 19.5) if (e.run, e.step) == ("r2", "a") else e for e in h.effects
    ]


def _given_up_early(h: History) -> None:
    change(h.attempts, {"id": "r1-a-1"}, lease_expires_at=at(200))


def _given_up_by_a_new_leader(h: History) -> None:
    h.seen[1] = Seen(at(140), 2, "e2", "x2")


def _foreign_team_moved(h: History) -> None:
    audit_row(h, 4)["team"] = "blue"


def _foreign_worker(h: History) -> None:
    change(h.workers, {"worker": "w1"}, team="blue")


def _secret_in_row(h: History) -> None:
    change(h.inbox, {"id": 4}, body={"reason": "token hw_secret"})


def _secret_in_log(h: History) -> None:
    h.texts.append(("engine.log", "connecting with hw_secret"))


def _never_applied(h: History) -> None:
    change(h.inbox, {"id": 4}, applied_at=None)


def _left_in_spool(h: History) -> None:
    h.spools.append(Spooled("w1", "r9-a-1"))


def _left_in_journal(h: History) -> None:
    h.journals.append(Noted("w1", "r1-clean-1", 1, "boot2", is_open=True))


def _move_untold(h: History) -> None:
    audit_row(h, 6)["transitions"].pop()


def _row_changed_by_hand(h: History) -> None:
    """A step's row is another than the audit says; the run's end would be the same."""
    change(h.steps, {"run_id": "r2", "key": "b"}, state="skipped")


def _forgery_believed(h: History) -> None:
    change(h.attempts, {"id": "r1-b-1"}, error={"code": "forged"})


FORGED: list[tuple[str, Spoil]] = [
    ("I1", _ended_twice),
    ("I1", _ended_never),
    ("I2", _two_live),
    ("I3", _fence_falls),
    ("I3", _number_missing),
    ("I3", _two_holders),
    ("I3", _lease_went_back),
    ("I3", _watched_epoch_of_two),
    ("I4", _deposed_leader_wrote),
    ("I5", _made_too_early),
    ("I5", _finally_too_early),
    ("I6", _executed_unclaimed),
    ("I6", _executed_by_another),
    ("I6", _executed_before_its_claim),
    ("I6", _boot_unknown),
    ("I6", _journal_of_another_fence),
    ("I7", _started_twice),
    ("I8", _overlap),
    ("I9", _promise_broken),
    ("I9", _promised_twice),
    ("I9", _nobody_asked),
    ("I9", _asked_but_never_made),
    ("I10", _never_ends),
    ("I11", _success_without_attempt),
    ("I11", _outputs_of_another),
    ("I11", _success_without_work),
    ("I12", _wrong_end),
    ("I12", _ended_with_open_step),
    ("I11", _marked_by_nobody),
    ("I13", _made_after_cancel),
    ("I13", _made_while_paused),
    ("I13", _claimed_after_cancel),
    ("I14", _too_many_failures),
    ("I14", _miscounted),
    ("I15", _completion_disregarded),
    ("I16", _dispatch_left),
    ("I17", _too_many_at_once),
    ("I18", _given_up_early),
    ("I18", _given_up_by_a_new_leader),
    ("I20", _foreign_team_moved),
    ("I20", _foreign_worker),
    ("I21", _secret_in_row),
    ("I21", _secret_in_log),
    ("I22", _never_applied),
    ("I22", _left_in_spool),
    ("I22", _left_in_journal),
    ("I23", _move_untold),
    ("I23", _row_changed_by_hand),
    ("I24", _forgery_believed),
]


def test_a_good_history_is_flagged_for_nothing() -> None:
    assert check(good()) == []


@pytest.mark.parametrize(("invariant", "spoil"), FORGED, ids=lambda v: getattr(v, "__name__", v))
def test_a_forged_history_is_flagged_for_its_own_reason(invariant: str, spoil: Spoil) -> None:
    history = good()
    spoil(history)
    found = check(history)
    assert {violation.invariant for violation in found} == {invariant}, "\n".join(map(str, found))
    assert all(violation.row and violation.what for violation in found)


def test_two_live_rows_of_a_step_are_flagged() -> None:
    history = good()
    _live_twice_in_rows(history)
    assert "I2" in {violation.invariant for violation in check(history)}


def test_every_invariant_has_a_forged_history_or_a_reason_not_to() -> None:
    every = [f"I{number}" for number in range(1, 25)]
    assert list(dict.fromkeys(name for name, _ in FORGED)) == list(INVARIANTS)
    assert sorted([*INVARIANTS, *NOT_APPLICABLE]) == sorted(every)


def test_the_checker_knows_nothing_of_the_engine() -> None:
    sources = Path(__file__).parent.joinpath("checker").glob("*.py")
    text = "".join(source.read_text() for source in sources)
    for package in ("headway", "headway_coordinator", "headway_worker", "sqlalchemy"):
        assert f"import {package}" not in text
        assert f"from {package}" not in text


def test_what_workers_and_steps_left_on_disk_is_read(tmp_path: Path) -> None:
    state = tmp_path / "states" / "worker-0"
    (state / "spool").mkdir(parents=True)
    (state / "worker").write_text("w1\n")
    (tmp_path / "states" / "worker-1").mkdir()  # never began
    record = {"attempt": "r1-a-1", "fence": 1, "boot": "b1", "machine": "m", "pid": 7}
    open_one = b"\1" + json.dumps(record).encode().ljust(1023, b"\0")
    claiming = {"attempt": "r1-b-1", "fence": 1, "boot": "b1", "machine": "m", "scratch": ""}
    freed = b"\0" + json.dumps(claiming).encode().ljust(1023, b"\0")
    (state / "journal").write_bytes(open_one + freed + bytes(1024))
    (state / "spool" / "000000000000.log").write_text('{"attempt": "r1-a-1", "fence": 1}\n{"atte')
    effects = tmp_path / "effects"
    effects.write_text(f"r1 a 1 start 12.34 77 {state}/scratch/x\n")
    (tmp_path / "accepted").write_text("r1 k1\n")
    entry = {"at": "2026-01-01T00:00:00+00:00", "epoch": 1, "holder": "e1", "boot": "x1"}
    (tmp_path / "seen").write_text(json.dumps(entry) + "\n")
    (tmp_path / "log").write_text("hello")
    database = tmp_path / "empty.db"
    _make_tables(database)
    history = read(
        f"sqlite:///{database}",
        states=[tmp_path / "states"],
        effects=effects,
        accepted=tmp_path / "accepted",
        seen=tmp_path / "seen",
        logs=[tmp_path / "log"],
    )
    assert history.folders == {str(state): "w1"}
    assert history.journals == [
        Noted("w1", "r1-a-1", 1, "b1", is_open=True),
        Noted("w1", "r1-b-1", 1, "b1", is_open=False, has_begun=False),
    ]
    assert history.spools == [Spooled("w1", "r1-a-1")]
    assert history.effects == [Effect("r1", "a", 1, "start", 12.34, 77, f"{state}/scratch/x")]
    assert history.worker_of(history.effects[0].folder) == "w1"
    assert history.accepted == [Accepted("r1", "k1")]
    assert history.seen == [Seen(at(0), 1, "e1", "x1")]
    assert history.texts == [(str(tmp_path / "log"), "hello")]
    assert history.audit[0]["transitions"] == [{"entity": "run", "to": "queued"}]
    assert history.audit[0]["at"] == at(0)


def _make_tables(path: Path) -> None:
    tables = ("run", "step", "attempt", "inbox", "lease", "worker", "worker_boot", "definition")
    file = sqlite3.connect(path)
    with file:
        for table in tables:
            file.execute(f"CREATE TABLE {table} (id TEXT)")
        file.execute("CREATE TABLE audit (id INTEGER, at TEXT, transitions TEXT)")
        told = json.dumps([{"entity": "run", "to": "queued"}])
        file.execute(
            "INSERT INTO audit VALUES (1, ?, ?)", ("2026-01-01T00:00:00.000000+00:00", told)
        )
    file.close()
