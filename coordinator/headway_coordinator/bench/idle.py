"""What Headway takes while nothing happens: memory, wake-ups, queries; and with many open runs.

Wake-ups are the voluntary context switches of all threads of a process. Queries are counted by
the database itself, which logs every statement with the name of the process for the time; that
works only on a server that may be told to, so that `--idle` always starts its own.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headway_coordinator.bench.cases import SLOTS, Case
from headway_coordinator.bench.headway_side import HeadwaySide

_SETTLE_S = 65.0  # warm interpreters leave after a minute
_WATCH_S = 60.0
_LOOK_S = 0.5
_RUNS, _STEPS = 1000, 100
# What the processes call themselves to the database.
_SENDERS = {"headway": "engine", "headway-api": "api"}
_MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Idle:
    """One process over the time."""

    resident_bytes: int
    wakeups_per_s: float
    queries_per_s: float
    transactions_per_s: float

    def as_dict(self) -> dict[str, Any]:
        return {
            "resident_mb": round(self.resident_bytes / _MB, 1),
            "wakeups_per_s": round(self.wakeups_per_s, 2),
            "queries_per_s": round(self.queries_per_s, 2),
            "transactions_per_s": round(self.transactions_per_s, 2),
        }


def measure(ours: HeadwaySide, statements: Statements, *, quick: bool) -> dict[str, Any]:
    """Return the document's `idle` and `active`."""
    _tell("idle: ")
    time.sleep(5.0 if quick else _SETTLE_S)  # what a start leaves to be done is not idleness
    idle = _watch(ours.pids, statements, 5.0 if quick else _WATCH_S)
    _tell("measured; with open runs: ")
    runs = 20 if quick else _RUNS
    before = {part: resident_bytes(pid) for part, pid in ours.pids.items()}
    ours.open_runs(_open_case(runs))
    after = {part: resident_bytes(pid) for part, pid in ours.pids.items()}
    _tell("measured\n")
    return {
        "idle": {part: found.as_dict() for part, found in idle.items()},
        "active": {
            "runs": runs,
            "steps": _STEPS,
            "resident_mb": {part: round(size / _MB, 1) for part, size in after.items()},
            "added_mb": {
                part: round((size - before[part]) / _MB, 1) for part, size in after.items()
            },
        },
    }


def _open_case(runs: int) -> Case:
    """Return runs whose first step succeeds and whose others then wait for a worker."""
    return Case("open", "open runs", (1, _STEPS - 2, 1), runs=runs, slots=SLOTS, parked=True)


def _watch(pids: Mapping[str, int], statements: Statements, seconds: float) -> dict[str, Idle]:
    statements.start()
    woken = {part: Wakeups(pid) for part, pid in pids.items()}
    started = time.monotonic()
    while (passed := time.monotonic() - started) < seconds:
        # A thread that ends takes its count along: it is looked at while it lives.
        time.sleep(min(_LOOK_S, seconds - passed))
        for each in woken.values():
            each.look()
    queries, transactions = statements.stop()
    return {
        part: Idle(
            resident_bytes(pid),
            woken[part].count / passed,
            queries[part] / passed,
            transactions[part] / passed,
        )
        for part, pid in pids.items()
    }


class Wakeups:
    """How often the threads of a process have gone to sleep, and so been woken, since the start.

    Looked at again and again, thread by thread: one that ends takes its own count with it.
    """

    def __init__(self, pid: int) -> None:
        self._tasks = Path(f"/proc/{pid}/task")
        self._seen = self._switches()
        self.count = 0

    def look(self) -> None:
        """Add what has happened since the last look."""
        found = self._switches()
        self.count += sum(n - self._seen.get(thread, 0) for thread, n in found.items())
        self._seen = found

    def _switches(self) -> dict[str, int]:
        found = {}
        for task in self._tasks.iterdir():
            try:
                found[task.name] = _switches(task / "status")
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has just ended
        return found


class Statements:
    """Counts the statements that a private PostgreSQL is sent, by the name of who sent them."""

    def __init__(self, url: str, log: Path) -> None:
        self._url = url
        self._log = log
        self._from = 0

    def start(self) -> None:
        """Begin to count."""
        self._set({"log_line_prefix": "'<%a> '", "log_statement": "'all'"})
        time.sleep(0.5)  # every connection hears of it with its next statement
        self._from = self._log.stat().st_size

    def stop(self) -> tuple[Counter[str], Counter[str]]:
        """Return the queries and the transactions of each process."""
        with self._log.open("rb") as log:
            log.seek(self._from)
            text = log.read().decode(errors="replace")
        self._set({"log_statement": "'none'"})
        queries: Counter[str] = Counter()
        transactions: Counter[str] = Counter()
        for line in text.splitlines():
            name, _, rest = line.removeprefix("<").partition("> LOG:  ")
            kind, _, statement = rest.partition(": ")
            if kind == "statement" or kind.startswith("execute"):
                part = _SENDERS.get(name.partition(":")[0], "other")
                if statement.startswith("BEGIN"):
                    transactions[part] += 1
                elif not statement.startswith(("COMMIT", "ROLLBACK")):
                    queries[part] += 1
        return queries, transactions

    def _set(self, settings: Mapping[str, str]) -> None:
        import psycopg

        with psycopg.connect(self._url, autocommit=True) as connection:
            for name, value in settings.items():
                connection.execute(f"ALTER SYSTEM SET {name} = {value}".encode())
            connection.execute("SELECT pg_reload_conf()")


def resident_bytes(pid: int) -> int:
    """Return how much of the machine's memory the process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


def _switches(status: Path) -> int:
    for line in status.read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches:"):
            return int(line.split()[1])
    return 0


def _tell(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)
