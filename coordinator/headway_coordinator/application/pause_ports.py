"""What the use cases need of storage about what people hold back: pipelines, queues, teams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

PauseKind = Literal["pipeline", "queue", "team"]


@dataclass(frozen=True, slots=True)
class Pause:
    """Who holds something back, since when, and why.

    `name` is the pipeline's, the queue's class, or empty: the whole team is meant.
    """

    kind: PauseKind
    team: str
    name: str
    at: datetime
    by: str
    reason: str | None

    @property
    def subject(self) -> str:
        """What is paused, in words: `pipeline analytics/daily`, `queue analytics.io`."""
        match self.kind:
            case "pipeline":
                return f"pipeline {self.team}/{self.name}"
            case "queue":
                return f"queue {self.team}.{self.name}"
            case _:
                return f"team {self.team}"

    def shown(self) -> Mapping[str, Any]:
        return {"at": self.at, "by": self.by, "reason": self.reason}


class Holds:
    """All pauses that are in force, to be asked about one thing."""

    def __init__(self, pauses: Iterable[Pause] = ()) -> None:
        self._held = {(p.kind, p.team, p.name): p for p in pauses}

    def pipeline(self, team: str, name: str) -> Pause | None:
        return self._held.get(("pipeline", team, name))

    def queue(self, queue: str) -> Pause | None:
        """Return what holds the whole queue back: its team's pause or its own."""
        team, _, name = queue.partition(".")
        return self.team(team) or self._held.get(("queue", team, name))

    def team(self, team: str) -> Pause | None:
        return self._held.get(("team", team, ""))


class Pauses(Protocol):
    def all(self) -> list[Pause]: ...

    def hold(
        self, kind: PauseKind, team: str, name: str, *, actor: str, reason: str | None
    ) -> bool:
        """Pause it, with an audit row; False: it is paused already."""

    def lift(
        self, kind: PauseKind, team: str, name: str, *, actor: str, reason: str | None
    ) -> bool:
        """Let it go on, with an audit row; False: it is not paused."""
