"""Heartbeats and leases over real HTTP, with a clock of the test."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from headway.clock import ManualClock
from headway.errors import ForbiddenError
from headway.protocol.messages import Held
from headway_worker.api import Api
from headway_worker.heartbeat import Heart
from headway_worker.reporter import Reporter
from headway_worker.roster import Roster
from headway_worker.spool import Spool
from headway_worker.stop import StopReason
from tests.integration.test_worker_reporting import (
    ME,
    NOW,
    Broker,
    api,
    double,
    entry,
    reporter_on,
    spool,
)
from tests.unit.worker.double import Double

__all__ = ["api", "double", "reporter_on", "spool"]

TOO_OFTEN = ForbiddenError("too_many_failures", "the token failed too often", status=429)
REVOKED = ForbiddenError("unauthorized", "the token is not good", status=401)


class Body:
    """A heart with the parts that it moves."""

    def __init__(self, api: Api, spool: Spool, reporter: Reporter, lease: float = 60) -> None:
        self.clock = ManualClock(NOW)
        self.roster = Roster(4)
        self.told: list[str] = []
        self.promises: list[float] = []
        self.heart = Heart(
            api,
            ME,
            self.roster,
            spool,
            reporter,
            self.clock,
            lease_seconds=lease,
            interval_seconds=3,
            reaped=[Held(attempt="old", fence=1)],
            on_reaped_told=lambda: self.told.append("reaped"),
            on_superseded=lambda: self.told.append("superseded"),
            on_refused=lambda: self.told.append("refused"),
            trust=self.promises.append,
        )

    def holds(self, *attempts: str) -> dict[str, list[float]]:
        """Return the kills that each of these running attempts gets."""
        kills: dict[str, list[float]] = {}
        for attempt in attempts:
            self.roster.enter(attempt)
            kills[attempt] = []
            stop = self.roster.hold(attempt, 1, self.clock.monotonic(), self.heart.lease.seconds)
            stop.attach(kills[attempt].append)
        return kills


@pytest.fixture
def body(api: Api, spool: Spool, reporter_on: Callable[..., Reporter]) -> Body:
    return Body(api, spool, reporter_on(Broker(), ManualClock(NOW), 3.0))


class TestHeart:
    def test_it_tells_what_runs_and_what_ended(
        self, body: Body, spool: Spool, double: Double
    ) -> None:
        body.holds("a", "b")
        spool.append(entry("b"))
        assert body.heart.beat()
        beat = double.heartbeats[-1]
        assert (beat.worker, beat.boot, beat.slots, beat.slots_free) == ("w1", "b1", 4, 2)
        assert [held.attempt for held in beat.running] == ["a"]
        assert [held.attempt for held in beat.finished] == ["b"]

    def test_reaped_attempts_are_told_until_someone_heard_it(
        self, body: Body, double: Double
    ) -> None:
        double.down = True
        assert not body.heart.beat()
        assert body.told == []
        double.down = False
        assert body.heart.beat()
        assert [held.attempt for held in double.heartbeats[-1].reaped] == ["old"]
        assert body.told == ["reaped"]
        body.heart.beat()
        assert double.heartbeats[-1].reaped == []

    def test_it_obeys_cancels_and_losses(self, body: Body, double: Double) -> None:
        kills = body.holds("a", "b", "c")
        double.cancel.add("a")
        double.lost.add("b")
        body.heart.beat()
        body.heart.beat()
        assert kills == {"a": [5.0], "b": [2.0], "c": []}

    def test_an_acknowledged_completion_is_forgotten(
        self, body: Body, spool: Spool, double: Double
    ) -> None:
        spool.append(entry("a"))
        double.take(entry("a").sealed)
        body.heart.beat()
        assert spool.pending() == []

    def test_a_superseded_boot_is_told(self, body: Body, double: Double) -> None:
        double.superseded = True
        body.heart.beat()
        assert body.told[0] == "superseded"

    def test_a_full_spool_and_a_drain_show_no_free_slot(
        self, body: Body, spool: Spool, double: Double, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(spool, "is_full", lambda: True)
            body.heart.beat()
            assert double.heartbeats[-1].slots_free == 0
        body.heart.draining = True
        body.heart.beat()
        assert double.heartbeats[-1].slots_free == 0
        assert double.heartbeats[-1].draining

    def test_steps_end_before_the_lease_does(self, body: Body, double: Double) -> None:
        kills = body.holds("a")
        body.clock.advance(timedelta(seconds=54.9))
        body.heart.guard()
        assert kills == {"a": []}
        double.down = True
        body.heart.beat()
        body.clock.advance(timedelta(seconds=0.1))
        body.heart.guard()
        assert kills == {"a": [2.0]}
        assert body.roster._held["a"].stop.reason is StopReason.LEASE_EXPIRED

    def test_a_worker_whose_token_is_refused_for_a_lease_is_told(
        self, body: Body, double: Double
    ) -> None:
        double.refuses = REVOKED
        for _ in range(3):
            assert not body.heart.beat()
            body.clock.advance(timedelta(seconds=29))
        assert body.told == []
        body.clock.advance(timedelta(seconds=2))
        double.refuses = None
        body.heart.beat()
        double.refuses = REVOKED
        body.heart.beat()
        assert body.told == ["reaped"], "it was let in meanwhile"
        body.clock.advance(timedelta(seconds=60))
        body.heart.beat()
        assert body.told == ["reaped", "refused"]

    def test_a_token_that_was_wrong_too_often_is_still_refused(
        self, body: Body, double: Double
    ) -> None:
        double.refuses = TOO_OFTEN
        for _ in range(3):
            assert not body.heart.beat()
            body.clock.advance(timedelta(seconds=60))
        assert body.told == [], "others may have failed in its place"
        double.refuses = REVOKED
        assert not body.heart.beat()
        double.refuses = TOO_OFTEN
        body.clock.advance(timedelta(seconds=60))
        assert not body.heart.beat()
        assert body.told == ["refused"]

    def test_the_launcher_is_told_of_a_lease_that_is_shorter_than_the_last(
        self, body: Body, double: Double
    ) -> None:
        """The coordinators' setting changed, and no heartbeat has said so yet."""
        body.heart.beat()
        now = body.clock.monotonic()
        body.heart.granted(now, 60)
        body.heart.granted(now + 1, 60)
        assert body.promises == [pytest.approx(59.7)]
        body.heart.granted(now, 12)
        assert body.promises[1:] == [pytest.approx(11.7)]
        body.clock.advance(timedelta(seconds=20))
        body.heart.granted(body.clock.monotonic(), 60)
        assert body.promises[2:] == [pytest.approx(59.7)], "the last promise was over"

    def test_leases_are_looked_at_when_the_first_is_over(self, body: Body) -> None:
        assert body.heart.until_look() == 5.0
        body.holds("a")
        assert body.heart.until_look() == 5.0
        body.clock.advance(timedelta(seconds=53))
        body.holds("b")
        assert body.heart.until_look() == pytest.approx(2.0)
        body.clock.advance(timedelta(seconds=10))
        assert body.heart.until_look() == 0.05

    def test_a_claim_after_a_long_silence_has_its_whole_lease(
        self, body: Body, double: Double
    ) -> None:
        old = body.holds("a")
        body.clock.advance(timedelta(seconds=58))
        new = body.holds("b")
        body.heart.guard()
        assert (old, new) == ({"a": [2.0]}, {"b": []})
        body.clock.advance(timedelta(seconds=54))
        body.heart.guard()
        assert new == {"b": []}
        body.clock.advance(timedelta(seconds=1))
        body.heart.guard()
        assert new == {"b": [2.0]}

    def test_an_answer_renews_what_it_names_alone(self, body: Body, double: Double) -> None:
        kills = body.holds("a", "b")
        double.lost.add("b")
        body.clock.advance(timedelta(seconds=50))
        body.heart.beat()
        body.clock.advance(timedelta(seconds=5))
        body.heart.guard()
        assert kills["a"] == []

    def test_a_good_answer_renews_from_when_it_was_asked(self, body: Body) -> None:
        kills = body.holds("a")
        body.clock.advance(timedelta(seconds=50))
        body.heart.beat()
        body.clock.advance(timedelta(seconds=54))
        body.heart.guard()
        assert kills == {"a": []}
        body.clock.advance(timedelta(seconds=1))
        body.heart.guard()
        assert kills == {"a": [2.0]}
