"""Reads a history: rows with a plain driver, workers' folders as bytes, effects as lines."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.fault.checker.history import Accepted, Effect, History, Noted, Row, Seen, Spooled

_TABLES = {
    "runs": "run",
    "steps": "step",
    "attempts": "attempt",
    "inbox": "inbox",
    "leases": "lease",
    "workers": "worker",
    "boots": "worker_boot",
    "audit": "audit",
    "definitions": "definition",
}
_DOCUMENTS = frozenset(
    (
        *("params", "outputs", "artifacts", "error", "work"),
        *("body", "queues", "transitions", "canonical"),
    )
)
_RECORD_BYTES = 1024


def read(
    database: str,
    *,
    states: Iterable[Path] = (),
    effects: Path | None = None,
    accepted: Path | None = None,
    seen: Path | None = None,
    logs: Iterable[Path] = (),
) -> History:
    """Return the history of an installation.

    `database` is its address. `states` are folders that hold workers' state folders; `effects`,
    `accepted` and `seen` are files of one line an entry (see the functions below).
    """
    history = History()
    for name, rows in _rows(database):
        setattr(history, name, rows)
    # What people changed beside runs (secrets) has no run and no epoch.
    history.audit = [row for row in history.audit if row.get("run") != ""]
    for folder in states:
        _read_state(folder, history)
    if effects is not None:
        history.effects = list(_effects(effects))
        history.wall_minus_monotonic = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    if accepted is not None:
        history.accepted = [Accepted(*line.split()[:2]) for line in _lines(accepted)]
    if seen is not None:
        history.seen = [_seen(json.loads(line)) for line in _lines(seen)]
    history.texts = [(str(log), log.read_text(errors="replace")) for log in logs]
    return history


def _rows(database: str) -> Iterator[tuple[str, list[Row]]]:
    if database.startswith("sqlite:"):
        with sqlite3.connect(database.removeprefix("sqlite:///")) as file:
            file.row_factory = sqlite3.Row
            for name, table in _TABLES.items():
                found = file.execute(f'SELECT * FROM "{table}"').fetchall()
                yield name, [{k: _value(k, row[k]) for k in row.keys()} for row in found]  # noqa: SIM118
        file.close()
        return
    import psycopg
    from psycopg.rows import dict_row

    with psycopg.connect(database, row_factory=dict_row, autocommit=True) as connection:
        for name, table in _TABLES.items():
            yield name, list(connection.execute(f'SELECT * FROM "{table}"'))


def _value(column: str, value: Any) -> Any:
    """Return what SQLite keeps as text as what PostgreSQL gives."""
    if not isinstance(value, str):
        return value
    if column in _DOCUMENTS:
        return json.loads(value)
    if column.endswith("_at") or column in ("at", "logical_date", "claim_deadline"):
        return datetime.fromisoformat(value)
    return value


def _read_state(folder: Path, history: History) -> None:
    """Read `worker-N` folders: who it is, the journal's records, what is still spooled."""
    for state in sorted(folder.glob("worker-*")):
        try:
            worker = (state / "worker").read_text().strip()
        except FileNotFoundError:
            continue
        history.folders[str(state)] = worker
        history.journals += _journal(state / "journal", worker)
        for segment in sorted((state / "spool").glob("*.log")):
            for line in segment.read_bytes().splitlines():
                try:
                    history.spools.append(Spooled(worker, json.loads(line)["attempt"]))
                except (ValueError, KeyError, TypeError):
                    continue  # torn by a crash: it was promised to nobody


def _journal(path: Path, worker: str) -> Iterator[Noted]:
    """Yield records of 1 KiB: a byte that is 1 while the attempt runs, then JSON, then zeros."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    for at in range(0, len(data) - _RECORD_BYTES + 1, _RECORD_BYTES):
        text = data[at + 1 : at + _RECORD_BYTES].rstrip(b"\0")
        try:
            record = json.loads(text)
        except ValueError:
            continue
        yield Noted(
            worker,
            record["attempt"],
            record["fence"],
            record["boot"],
            is_open=data[at] == 1,
            has_begun="pid" in record,
        )


def _effects(path: Path) -> Iterator[Effect]:
    """Yield the lines `run step attempt event seconds pid folder`."""
    for line in _lines(path):
        run, step, no, event, at, pid, folder = line.split(maxsplit=6)
        yield Effect(run, step, int(no), event, float(at), int(pid), folder)


def _seen(entry: dict[str, Any]) -> Seen:
    at = datetime.fromisoformat(entry["at"])
    return Seen(at, entry["epoch"], entry["holder"], entry["boot"])


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
