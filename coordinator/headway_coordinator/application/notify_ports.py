"""What notifications of runs' ends need from storage; the adapter implements this."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

NotificationState = Literal["dead", "sent", "waiting"]


@dataclass(frozen=True, slots=True)
class NewNotification:
    """One to be sent, in the outbox. One whose `event` is `recovered` is kept only if the
    pipeline's last run that ended before this one failed. `dedupe` makes a repetition the same;
    `body` is what is sent, as JSON."""

    id: str
    dedupe: str
    team: str
    pipeline: str
    run: str
    event: str
    webhook: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Notification:
    """One that is kept. `attempts` have been made to send it, `problem` is how the last one failed;
    while it waits it is due at `due_at`."""

    id: str
    team: str
    pipeline: str
    run: str
    event: str
    webhook: str
    body: Mapping[str, Any]
    state: NotificationState
    attempts: int
    created_at: datetime
    due_at: datetime
    tried_at: datetime | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class NotificationFilter:
    """Which a list shows. `teams` None: all."""

    teams: Sequence[str] | None
    limit: int
    cursor: str | None = None
    pipeline: str | None = None
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """How a try ended: `again` is when to try once more, None if that was the last one."""

    problem: str | None = None
    again: timedelta | None = None

    @property
    def state(self) -> NotificationState:
        if self.problem is None:
            return "sent"
        return "dead" if self.again is None else "waiting"


class Notifications(Protocol):
    def waiting(
        self,
        limit: int,
        *,
        but: Collection[str] = (),
        not_to: Collection[tuple[str, str]] = (),
    ) -> tuple[list[Notification], datetime | None]:
        """Return those that are due, the most overdue first, and when the next one after them is;
        None: nothing else waits. Left out are the ids `but`, and what a team (first) sends to an
        address (second) of `not_to`."""

    def settle(self, id: str, attempts: int, tried: Tried) -> bool:
        """Note how the next try after `attempts` ended; false if somebody has noted it already."""

    def retry(self, id: str, *, actor: str) -> bool:
        """Make one that is dead or waits due now, with all its tries and a row in the audit; false
        if it was sent."""

    def forget(self, older_than: timedelta, limit: int) -> int:
        """Delete those that were sent or given up longer ago; return how many."""

    def get(self, id: str) -> Notification | None: ...

    def listing(self, wanted: NotificationFilter) -> tuple[list[Notification], str | None]:
        """Return them, newest first, and the cursor of the next page."""
