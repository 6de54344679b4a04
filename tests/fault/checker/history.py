"""What a history consists of, and the views of it that several invariants need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from typing import Any

Row = Mapping[str, Any]

RUN_ENDED = frozenset({"succeeded", "failed", "cancelled", "timed_out"})
STEP_ENDED = frozenset({"succeeded", "failed", "skipped", "cancelled", "upstream_failed"})
ATTEMPT_ENDED = frozenset({"succeeded", "failed", "timed_out", "cancelled", "lost"})


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that must not be: which invariant, in which row, and what is wrong there."""

    invariant: str
    row: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.row}: {self.what}"


@dataclass(frozen=True, slots=True)
class Effect:
    """A line that a step wrote while it ran: `start`, `tick`, `end` or `fail`.

    `at` is seconds of the machine's monotonic clock, `folder` the attempt's own folder.
    """

    run: str
    step: str
    no: int
    event: str
    at: float
    pid: int = 0
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Noted:
    """A record of a worker's journal; those of ended attempts stay until they are written over.

    It is noted before the claim. `has_begun`: a process was started, so the claim must have been
    won.
    """

    worker: str
    attempt: str
    fence: int
    boot: str
    is_open: bool
    has_begun: bool = True


@dataclass(frozen=True, slots=True)
class Spooled:
    """A completion that still lies on a worker's disk."""

    worker: str
    attempt: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A run that the API promised with a 2xx answer, and the key under which it was asked for."""

    run: str
    key: str


@dataclass(frozen=True, slots=True)
class Seen:
    """The lease row as somebody outside saw it, at a time of the database's clock."""

    at: datetime
    epoch: int
    holder: str
    boot: str


@dataclass(frozen=True, slots=True)
class Move:
    """One transition of the audit, in the order of its commit."""

    position: int
    audit: int
    at: datetime
    epoch: int
    run: str
    entity: str
    id: str
    before: str | None
    after: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """One start of an attempt, from its first line to its last."""

    run: str
    step: str
    no: int
    start: float
    last: float
    folder: str


@dataclass
class History:
    """Everything that is known. Rows are as in the tables; times are aware."""

    runs: list[Row] = field(default_factory=list)
    steps: list[Row] = field(default_factory=list)
    attempts: list[Row] = field(default_factory=list)
    inbox: list[Row] = field(default_factory=list)
    leases: list[Row] = field(default_factory=list)
    workers: list[Row] = field(default_factory=list)
    boots: list[Row] = field(default_factory=list)
    audit: list[Row] = field(default_factory=list)
    definitions: list[Row] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    journals: list[Noted] = field(default_factory=list)
    spools: list[Spooled] = field(default_factory=list)
    folders: dict[str, str] = field(default_factory=dict)  # a worker's state folder -> its name
    accepted: list[Accepted] | None = None  # None: nobody kept a list
    seen: list[Seen] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)  # logs: name, content
    canaries: list[str] = field(default_factory=list)  # secrets that must appear nowhere
    forged: str | None = None  # what every forged message said
    worker_lease_s: float | None = None
    wall_minus_monotonic: float | None = None  # if steps and database shared a machine

    @cached_property
    def moves(self) -> list[Move]:
        """Every transition, in the order of the audit's ids."""
        found: list[Move] = []
        for row in sorted(self.audit, key=lambda r: r["id"]):
            for change in row["transitions"]:
                if change["entity"] == "request":
                    continue
                about = change.get("id") or row["run"]
                found.append(
                    Move(
                        len(found), row["id"], row["at"], row["epoch"], row["run"],
                        change["entity"], about, change.get("from"), change["to"],
                        change.get("reason"),
                    )
                )  # fmt: skip
        return found

    def moves_of(self, entity: str) -> dict[tuple[str, str], list[Move]]:
        """Transitions by (run, id)."""
        found: dict[tuple[str, str], list[Move]] = defaultdict(list)
        for move in self.moves:
            if move.entity == entity:
                found[move.run, move.id].append(move)
        return found

    @cached_property
    def run_by_id(self) -> dict[str, Row]:
        return {row["id"]: row for row in self.runs}

    @cached_property
    def attempt_by_id(self) -> dict[str, Row]:
        return {row["id"]: row for row in self.attempts}

    @cached_property
    def attempt_by_no(self) -> dict[tuple[str, str, int], Row]:
        return {(row["run_id"], row["step"], row["no"]): row for row in self.attempts}

    @cached_property
    def attempts_of(self) -> dict[tuple[str, str], list[Row]]:
        """A step's attempts by their number."""
        found: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in sorted(self.attempts, key=lambda r: r["no"]):
            found[row["run_id"], row["step"]].append(row)
        return found

    @cached_property
    def executions(self) -> list[Execution]:
        """One for each `start` line, with the last line of the same process."""
        lasts: dict[tuple[str, str, int, int], float] = {}
        for effect in self.effects:
            key = (effect.run, effect.step, effect.no, effect.pid)
            lasts[key] = max(effect.at, lasts.get(key, effect.at))
        return [
            Execution(e.run, e.step, e.no, e.at, lasts[e.run, e.step, e.no, e.pid], e.folder)
            for e in self.effects
            if e.event == "start"
        ]

    @cached_property
    def reopened_at(self) -> dict[tuple[str, str], int]:
        """Where in the audit a person last took a step back: by a retry, cleared, or marked."""
        return {
            (m.run, m.id): m.position
            for m in self.moves
            if m.entity == "step"
            and (m.before in STEP_ENDED or m.reason == "cleared" or is_marked(m.reason))
        }

    @cached_property
    def made_at(self) -> dict[str, int]:
        """Where in the audit each attempt was made."""
        return {
            m.id: m.position
            for m in self.moves
            if m.entity == "attempt" and m.after == "dispatched"
        }

    def planned(self, run: Row) -> dict[str, PlannedStep]:
        """A run's steps as its definition names them."""
        return self._plans.get((run["team"], run["pipeline"], run["digest"]), {})

    @cached_property
    def _plans(self) -> dict[tuple[str, str, str], dict[str, PlannedStep]]:
        return {
            (row["team"], row["pipeline"], row["digest"]): dict(_planned(row["canonical"]))
            for row in self.definitions
        }

    def worker_of(self, folder: str) -> str | None:
        """Whose state folder this attempt's folder lies in."""
        for state, worker in self.folders.items():
            if folder.startswith(state + "/"):
                return worker
        return None


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """What a definition says of a step, as far as the invariants need it."""

    name: str
    kind: str
    needs: tuple[str, ...]
    when: str
    retries: int
    allow_failure: bool
    final: bool


def _planned(canonical: Mapping[str, Any]) -> Iterator[tuple[str, PlannedStep]]:
    for part in ("steps", "finally"):
        for step in canonical[part]:
            yield (
                step["name"],
                PlannedStep(
                    step["name"],
                    step["kind"],
                    tuple(step["needs"]),
                    step["when"],
                    step["retry"]["max"],
                    step["allow_failure"],
                    part == "finally",
                ),
            )


def is_marked(reason: str | None) -> bool:
    """Say whether a step's reason tells that a person gave it its state."""
    return (reason or "").startswith("marked ")


def named(row: Row) -> str:
    """Return how an attempt's row is spoken of."""
    return f"attempt {row['id']} ({row['run_id']} {row['step']} #{row['no']})"


def strictly_grows(values: Iterable[int]) -> bool:
    return all(a < b for a, b in pairwise(values))
