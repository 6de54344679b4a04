"""The loop of notifications: it sends while it leads, and then waits for what is due."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from headway_coordinator.application.notify_ports import Notification
from headway_coordinator.application.ports import StorageUnavailable
from headway_coordinator.loops.notifying import NotifyLoop, destination
from tests.servers.waiting import wait_until

NOW = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)


def noted(id: str, webhook: str = "https://example.com/hook", team: str = "ops") -> Notification:
    return Notification(
        id, team, "daily", "r1", "failed", webhook, {}, "waiting", 0, NOW, NOW, None, None
    )


class House:
    """The lease, the outbox and what sends; what was tried is due no more."""

    def __init__(self) -> None:
        self.leads = True
        self.due: list[Notification] = []
        self.following: datetime | None = None
        self.trouble: Exception | None = None
        self.looks = 0
        self.begun: list[str] = []
        self.sent: list[str] = []
        self.silent = threading.Event()  # set: who did not answer does
        self.broken: dict[str, Exception] = {}
        self.loop = NotifyLoop(
            leadership=cast(Any, SimpleNamespace(hold=lambda: True if self.leads else None)),
            notifications=cast(Any, self),
            send=self.send,
            now=lambda: NOW,
        )

    def waiting(
        self, limit: int, *, but: Collection[str], not_to: Collection[tuple[str, str]]
    ) -> tuple[list[Notification], datetime | None]:
        self.looks += 1
        if self.trouble is not None:
            raise self.trouble
        rest = [n for n in self.due if n.id not in but and (n.team, n.webhook) not in not_to]
        return rest[:limit], self.following

    def send(self, each: Notification) -> None:
        self.begun.append(each.id)
        if "silent" in each.webhook:
            assert self.silent.wait(30)
        self.due = [n for n in self.due if n.id != each.id]
        if each.id in self.broken:
            raise self.broken[each.id]
        self.sent.append(each.id)

    def tick(self) -> None:
        self.loop.wake()
        self.loop.tick()

    def tick_until(self, condition: Callable[[], bool]) -> None:
        def ticked() -> bool:
            self.tick()
            return condition()

        wait_until(ticked)


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    yield made
    made.silent.set()
    made.loop.close()


def test_all_that_is_due_is_sent(house: House) -> None:
    names = {f"n{number}" for number in range(11)}
    house.due = [noted(name) for name in sorted(names)]
    house.tick_until(lambda: len(house.sent) == 11)
    assert set(house.sent) == names
    assert len(house.begun) == 11


def test_a_receiver_that_does_not_answer_delays_no_other(house: House) -> None:
    silent = [noted(f"s{number:03}", f"https://silent.example/{number}") for number in range(250)]
    house.due = [*silent, *(noted(f"n{number}") for number in range(20))]
    house.tick_until(lambda: len(house.sent) == 20)
    assert all(name.startswith("n") for name in house.sent)
    assert sorted(name for name in house.begun if name.startswith("s")) == [
        "s000", "s001", "s002", "s003",
    ]  # fmt: skip


def test_a_thread_that_is_done_wakes_the_loop(house: House) -> None:
    house.due = [noted(f"n{number}") for number in range(12)]
    house.tick()
    while len(house.sent) < 12:  # each of these waits a minute if nobody wakes it
        house.loop.tick()


def test_secrets_of_one_name_are_as_many_receivers_as_there_are_teams() -> None:
    assert destination(noted("1", "secret://hook", "a")) != destination(noted("2", "secret://hook"))
    assert destination(noted("1", "https://x.org/1")) == destination(noted("2", "http://x.org:9/2"))
    assert destination(noted("1", "http://[x")) == ("ops", "http://[x")


def test_what_fails_unforeseen_hides_no_other(house: House) -> None:
    house.due = [noted(f"n{number}") for number in range(4)]
    house.broken = {"n1": RuntimeError("ouch"), "n2": StorageUnavailable("cut off")}
    with capture_logs() as logs:
        house.tick_until(lambda: len(house.begun) == 4)
        house.tick_until(lambda: not house.loop._under_way)
    assert sorted(house.sent) == ["n0", "n3"]
    told = sorted((line["event"], line.get("error"), line.get("reason")) for line in logs)
    assert told == [
        ("database_unavailable", None, "cut off"),
        ("notification_not_noted", "RuntimeError", None),
    ]


def test_who_does_not_lead_looks_at_nothing(house: House) -> None:
    house.leads, house.due = False, [noted("n1")]
    house.tick()
    assert (house.looks, house.begun) == (0, [])
    house.leads = True
    house.tick_until(lambda: house.sent == ["n1"])


def test_one_that_is_due_soon_is_not_waited_for_long(house: House) -> None:
    house.following = NOW + timedelta(milliseconds=60)
    house.tick()
    house.due = [noted("n1")]
    house.loop.tick()
    wait_until(lambda: house.sent == ["n1"])


def test_while_the_database_is_away_it_goes_on_trying(house: House) -> None:
    house.trouble = StorageUnavailable("cut off")
    house.tick()
    house.trouble, house.due = None, [noted("n1")]
    house.tick()
    wait_until(lambda: house.sent == ["n1"])


def test_without_notifications_it_has_no_threads(house: House) -> None:
    house.tick()
    assert house.loop._threads is None
