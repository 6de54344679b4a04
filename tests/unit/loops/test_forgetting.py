"""What is old is deleted a page at a time, by whoever leads."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import pytest

from headway_coordinator.application.ports import Storage, StorageUnavailable
from headway_coordinator.loops.forgetting import Forgetting

KEEP = timedelta(days=30)


class Old:
    """So many rows are old."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked: list[timedelta] = []

    def forget(self, older_than: timedelta, limit: int) -> int:
        if self.count < 0:
            raise StorageUnavailable("away")
        self.asked.append(older_than)
        gone = min(self.count, limit)
        self.count -= gone
        return gone


class Rows:
    def __init__(self, events: int, notifications: int) -> None:
        self.events, self.notifications = Old(events), Old(notifications)


def forgetting(rows: Rows, *, leads: bool = True) -> Forgetting:
    return Forgetting(cast(Storage, cast(Any, rows)), lambda: leads, KEEP)


@pytest.mark.parametrize(("events", "notifications"), [(0, 2500), (2500, 0), (1500, 2500)])
def test_it_goes_on_soon_while_pages_are_full(events: int, notifications: int) -> None:
    rows = Rows(events, notifications)
    duty = forgetting(rows)
    waits = [duty.tick() for _ in range(3)]
    assert waits[0] == waits[1] < waits[2]
    assert (rows.events.count, rows.notifications.count) == (0, 0)
    assert rows.events.asked == rows.notifications.asked == [KEEP] * 3


def test_who_follows_forgets_nothing() -> None:
    rows = Rows(5, 5)
    forgetting(rows, leads=False).tick()
    assert (rows.events.count, rows.notifications.count) == (5, 5)


def test_a_database_that_is_away_is_asked_again_later() -> None:
    assert forgetting(Rows(-1, 0)).tick() > 0
