"""Whose turn it is among the runs of a group: `overlap` and `concurrency`. Pure.

A group is the runs of one pipeline whose `concurrency.key` has the same value. At most `limit` of
them are under way at once; what becomes of one more is its own definition's `overlap` to say.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from headway.plan.model import Overlap

_PLAIN = frozenset({Overlap.ALLOW, Overlap.QUEUE})


@dataclass(frozen=True, slots=True, order=True)
class Contender:
    """A queued run. They compare by who goes first: rank (lower first), age, then the run's id."""

    rank: int
    since: datetime
    run: str
    overlap: Overlap = field(compare=False)
    limit: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Active:
    """A run under way; `stopping` if it has been asked to stop already."""

    since: datetime
    stopping: bool


@dataclass(frozen=True, slots=True)
class Turns:
    """What is to happen: runs to start, and runs to cancel, with the run because of which."""

    start: tuple[str, ...] = ()
    skip: Mapping[str, str] = field(default_factory=dict)
    replace: Mapping[str, str] = field(default_factory=dict)


class Group:
    """The runs of a group that have not ended. `turns` says what they may do."""

    __slots__ = ("_by_run", "active", "special", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Contender] = []
        self.active: dict[str, Active] = {}
        self.special: set[str] = set()  # queued runs that may cancel others or be skipped
        self._by_run: dict[str, Contender] = {}

    def __len__(self) -> int:
        return len(self.waiting) + len(self.active)

    def copy(self) -> Group:
        made = Group()
        made.waiting, made.active = list(self.waiting), dict(self.active)
        made.special, made._by_run = set(self.special), dict(self._by_run)
        return made

    def remove(self, run: str) -> None:
        """Take the run out, if it is in."""
        self.active.pop(run, None)
        self.special.discard(run)
        contender = self._by_run.pop(run, None)
        if contender is not None:
            del self.waiting[bisect_left(self.waiting, contender)]

    def wait(self, contender: Contender) -> None:
        """Put a queued run into its place in the line."""
        self.remove(contender.run)
        insort(self.waiting, contender)
        self._by_run[contender.run] = contender
        if contender.overlap not in _PLAIN:
            self.special.add(contender.run)

    def go(self, run: str, active: Active) -> None:
        """Count a run as under way."""
        self.remove(run)
        self.active[run] = active

    def turns(self) -> Turns:
        """Return the group's next moves; what follows from those is asked for again."""
        if not self.waiting:
            return Turns()
        line: Sequence[Contender] = self.waiting
        if not self.special:  # a long line costs no more than a short one
            line = line[: max(1, line[0].limit)]
        return _turns(line, self.active)


def _turns(line: Sequence[Contender], active: Mapping[str, Active]) -> Turns:
    under_way = sorted(active, key=lambda run: (active[run].since, run))
    start: list[str] = []
    skip: dict[str, str] = {}
    replace: dict[str, str] = {}
    newest = max(
        (c for c in line if c.overlap is Overlap.REPLACE),
        key=lambda c: (c.since, c.run),
        default=None,
    )
    blocked = False
    for contender in line:
        if newest is not None and _outdated(contender, newest):
            replace[contender.run] = newest.run
        elif not blocked and len(under_way) < contender.limit:
            start.append(contender.run)
            under_way.append(contender.run)
        elif contender.overlap is Overlap.SKIP:
            skip[contender.run] = under_way[0] if under_way else line[0].run
        else:
            blocked = True  # nobody overtakes
            if contender.overlap is Overlap.REPLACE:
                for run in under_way[: len(under_way) - contender.limit + 1]:
                    if run in active and not active[run].stopping:
                        replace[run] = contender.run
    return Turns(tuple(start), skip, replace)


def _outdated(contender: Contender, newest: Contender) -> bool:
    return contender is not newest and (contender.since, contender.run) <= (
        newest.since,
        newest.run,
    )
