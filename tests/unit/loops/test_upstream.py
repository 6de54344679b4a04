"""The queues of upstream events are open only while there is a trigger and the lease."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headway.clock import ManualClock
from headway_coordinator.application.hearing import Letter
from headway_coordinator.application.ports import StorageUnavailable
from headway_coordinator.loops.upstream import UpstreamLoop

LETTER = Letter("demo", "application/json", b"{}", 1)


class House:
    """Everything around the loop: the lease, the triggers, the broker and what keeps events."""

    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.leads = True
        self.teams = ["demo"]
        self.waiting: list[Letter] = []
        self.opened: list[Sequence[str]] = []
        self.closed = self.kept_alive = self.heard = self.looks = 0
        self.taken: list[Letter] = []
        self.done_with: list[Letter] = []
        self.trouble: Exception | None = None
        self.loop = UpstreamLoop(
            leadership=cast(Any, SimpleNamespace(hold=lambda: True if self.leads else None)),
            storage=cast(Any, SimpleNamespace(triggers=SimpleNamespace(teams_of=self._teams_of))),
            hearing=cast(Any, SimpleNamespace(take=self._take)),
            letters=self._open,
            heard=self._heard,
            clock=self.clock,
        )

    def _teams_of(self, kind: str) -> list[str]:
        assert kind == "event"
        self.looks += 1
        if not self.teams:
            self.loop.wake()  # else the loop waits long for something to change
        return list(self.teams)

    def _open(self, teams: Sequence[str]) -> Any:
        self.opened.append(teams)
        return self

    def _heard(self) -> None:
        self.heard += 1

    def _take(self, letters: Sequence[Letter]) -> int:
        if self.trouble is not None:
            raise self.trouble
        self.taken += letters
        return len(letters)

    # --- the broker's side ---

    def read(self, seconds: float) -> list[Letter]:
        found, self.waiting = self.waiting, []
        return found

    def keep_alive(self) -> None:
        self.kept_alive += 1

    def done(self, letters: Sequence[Letter]) -> None:
        self.done_with += letters

    def close(self) -> None:
        self.closed += 1

    def tick(self) -> float:
        """Tick, woken: a tick that waits for something would wait long."""
        self.loop.wake()
        self.clock.advance(timedelta(seconds=2))
        return self.loop.tick()


@pytest.fixture
def house() -> House:
    return House()


def test_a_letter_is_done_after_it_is_kept(house: House) -> None:
    house.waiting = [LETTER]
    house.tick()
    assert (house.taken, house.done_with, house.heard) == ([LETTER], [LETTER], 1)


def test_without_a_trigger_there_is_no_connection(house: House) -> None:
    house.teams = []
    house.tick()
    assert house.opened == []
    house.teams = ["demo", "other"]
    house.tick()
    assert house.opened == [["demo", "other"]]
    house.teams = ["other"]
    house.tick()
    assert (house.opened[-1], house.closed) == (["other"], 1)
    house.teams = []
    house.loop.wake()
    house.tick()
    assert house.closed == 2


def test_who_does_not_lead_reads_nothing(house: House) -> None:
    house.tick()
    house.leads = False
    house.waiting = [LETTER]
    house.tick()
    assert (house.closed, house.taken) == (1, [])
    house.leads = True
    house.tick()
    assert house.taken == [LETTER]


def test_while_the_database_is_away_what_was_read_is_held(house: House) -> None:
    house.waiting = [LETTER]
    house.trouble = StorageUnavailable("cut off")
    assert house.tick() > 0
    assert house.tick() > 0
    assert (house.done_with, house.kept_alive, house.closed) == ([], 2, 0)
    house.trouble = None
    house.tick()
    assert (house.taken, house.done_with) == ([LETTER], [LETTER])


def test_after_trouble_with_the_broker_it_is_opened_anew(house: House) -> None:
    house.waiting = [LETTER]
    house.trouble = OSError("gone")
    assert house.tick() > 0
    assert (house.closed, house.done_with) == (1, [])
    house.trouble, house.waiting = None, [LETTER]
    house.tick()
    assert (len(house.opened), house.done_with) == (2, [LETTER])


def test_many_nudges_cost_one_look_a_second(house: House) -> None:
    house.tick()
    for _ in range(20):
        house.loop.wake()
        house.loop.tick()
    assert house.looks == 1
    house.tick()
    assert house.looks == 2


def test_a_wake_that_comes_while_it_looks_is_not_forgotten(house: House) -> None:
    house.teams = []
    house.tick()  # its look is what wakes it, see `_teams_of`
    house.teams = ["demo"]
    house.clock.advance(timedelta(seconds=2))
    house.loop.tick()
    assert house.opened == [["demo"]]
