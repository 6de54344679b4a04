"""Claims, reports and logs over real HTTP, with a clock and a broker of the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from headway.clock import Clock, ManualClock, SystemClock
from headway.errors import ForbiddenError, UnavailableError
from headway.protocol.messages import (
    Claim,
    Completion,
    Message,
    Outcome,
    Register,
    Registered,
    Sealed,
)
from headway.protocol.proof import completion_token, seal
from headway_worker import logs as logs_module
from headway_worker.api import Api, M, Posts
from headway_worker.claims import Claims
from headway_worker.identity import Identity
from headway_worker.logs import LogShipper
from headway_worker.redaction import Redactor
from headway_worker.reporter import Reporter
from headway_worker.spool import Entry, Spool
from tests.servers.waiting import wait_until
from tests.unit.worker.double import KEY, TOKEN, Double

NO_SECRETS = Redactor()
ME = Identity("w1", "b1", "host", "m1", Path("/"))
NOW = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as made:
        yield made


@pytest.fixture
def api(double: Double) -> Iterator[Api]:
    made = Api((double.url,), TOKEN, timeout=5)
    yield made
    made.close()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool", limit_bytes=1 << 20)
    yield made
    made.close()


def entry(attempt: str) -> Entry:
    completion = Completion(
        attempt=attempt, fence=1, run="r", step="s", worker=ME.worker, boot=ME.boot, seq=1,
        outcome=Outcome.SUCCEEDED, started_at=NOW, finished_at=NOW,
    )  # fmt: skip
    body = completion.model_dump_json()
    token = completion_token(KEY, attempt=attempt, fence=1, worker=ME.worker, boot=ME.boot)
    return Entry(attempt, 1, Sealed(body=body, mac=seal(body.encode(), token)))


class Broker:
    """Takes completions, or refuses them."""

    def __init__(self) -> None:
        self.down = False
        self.tries = 0
        self.bodies: list[str] = []

    def publish(self, bodies: Sequence[str]) -> None:
        self.tries += 1
        if self.down:
            raise UnavailableError("broker", "as the test wants")
        self.bodies += bodies

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def reporter_on(
    spool: Spool, api: Api
) -> Iterator[Callable[[Broker, ManualClock | SystemClock, float], Reporter]]:
    made: list[Reporter] = []

    def make(broker: Broker, clock: ManualClock | SystemClock, patience: float) -> Reporter:
        reporter = Reporter(spool, broker, api, clock, patience=timedelta(seconds=patience))
        made.append(reporter)
        reporter.start()
        return reporter

    yield make
    for each in made:
        each.close()


class TestApi:
    def test_another_address_is_taken_when_one_does_not_answer(self, double: Double) -> None:
        api = Api(("http://127.0.0.1:9", double.url), TOKEN, timeout=5)
        assert api.post("register", registration(), Registered).team == "analytics"
        assert api.post("register", registration(), Registered).team == "analytics"
        api.close()

    def test_a_connection_that_was_closed_meanwhile_is_made_anew(self, api: Api) -> None:
        api.post("register", registration(), Registered)
        for address in api._addresses:
            for connection in address._kept:
                connection.sock.shutdown(2)
        assert api.post("register", registration(), Registered).team == "analytics"

    def test_errors_are_told_apart(self, api: Api, double: Double) -> None:
        stranger = Api((double.url,), "hw_other", timeout=5)
        with pytest.raises(ForbiddenError) as forbidden:
            stranger.post("register", registration(), Registered)
        assert forbidden.value.status == 401
        double.down = True
        with pytest.raises(UnavailableError) as down:
            api.post("register", registration(), Registered)
        assert down.value.code == "down"
        nobody = Api(("http://127.0.0.1:9",), TOKEN, timeout=5)
        with pytest.raises(UnavailableError) as unreachable:
            nobody.post("register", registration(), Registered)
        assert unreachable.value.code == "unreachable"
        stranger.close()
        nobody.close()

    def test_an_odd_address_is_refused(self) -> None:
        with pytest.raises(UnavailableError, match="ftp://x is no address"):
            Api(("ftp://x",), TOKEN)


class TestClaims:
    def test_a_claim_is_tried_until_the_coordinator_answers(self, api: Api, double: Double) -> None:
        double.add("a")
        double.down = True
        threading.Timer(0.2, lambda: setattr(double, "down", False)).start()
        answered = claims(api, SystemClock(), patience=30).claim(claim("a"))
        assert answered is not None
        assert answered.answer.won
        assert answered.answer.token == completion_token(
            KEY, attempt="a", fence=1, worker="w1", boot="b1"
        )

    def test_it_counts_from_the_try_that_was_answered(self, api: Api, double: Double) -> None:
        double.add("a")
        clock = ManualClock(NOW)

        class Away:
            """Does not answer the first request, for ten seconds."""

            def post(self, path: str, message: Message, answer: type[M]) -> M:
                if clock.monotonic():
                    return api.post(path, message, answer)
                clock.advance(timedelta(seconds=10))
                raise UnavailableError("unreachable", "not there")

        answered = claims(Away(), clock, patience=30).claim(claim("a"))
        assert answered is not None
        assert answered.asked_at == 10

    def test_an_answer_that_was_long_in_coming_is_asked_for_again(
        self, api: Api, double: Double
    ) -> None:
        double.add("a")
        clock = ManualClock(NOW)

        class Slow:
            """Answers the first request after sixteen seconds."""

            def post(self, path: str, message: Message, answer: type[M]) -> M:
                answered = api.post(path, message, answer)
                if not clock.monotonic():
                    clock.advance(timedelta(seconds=16))
                return answered

        answered = claims(Slow(), clock, patience=10).claim(claim("a"))
        assert answered is not None
        assert (answered.answer.won, answered.asked_at) == (True, 16)
        assert double.claims == ["a", "a"]

    def test_it_is_given_up_in_time(self, api: Api, double: Double) -> None:
        double.down = True
        assert claims(api, SystemClock(), patience=0).claim(claim("a")) is None

    def test_a_refused_token_gives_up_at_once(self, double: Double) -> None:
        stranger = Api((double.url,), "hw_other", timeout=5)
        assert claims(stranger, SystemClock(), patience=1000).claim(claim("a")) is None
        stranger.close()


class TestReporter:
    def test_what_the_broker_carried_is_not_sent_twice(
        self, spool: Spool, reporter_on: Callable[..., Reporter], double: Double
    ) -> None:
        broker = Broker()
        reporter = reporter_on(broker, ManualClock(NOW), 3.0)
        reporter.report(entry("a"))
        wait_until(lambda: broker.bodies)
        reporter.acknowledge(["a"])
        assert spool.pending() == []
        assert reporter.flush(5)
        assert double.received_by_http == []

    def test_without_an_acknowledgement_it_goes_by_http_after_the_wait(
        self, spool: Spool, reporter_on: Callable[..., Reporter], double: Double
    ) -> None:
        broker, clock = Broker(), ManualClock(NOW)
        reporter = reporter_on(broker, clock, 3.0)
        reporter.report(entry("a"))
        wait_until(lambda: broker.bodies)
        clock.advance(timedelta(seconds=2.9))
        reporter.acknowledge([])
        assert spool.get("a") is not None
        assert double.received_by_http == []
        clock.advance(timedelta(seconds=0.2))
        reporter.acknowledge([])
        double.wait(lambda: double.received_by_http == ["a"])
        wait_until(lambda: spool.pending() == [])

    def test_without_a_broker_it_goes_by_http_at_once(
        self, spool: Spool, reporter_on: Callable[..., Reporter], double: Double
    ) -> None:
        broker = Broker()
        broker.down = True
        reporter = reporter_on(broker, ManualClock(NOW), 3.0)
        for name in ("a", "b", "c"):
            reporter.report(entry(name))
        double.wait(lambda: sorted(double.completions) == ["a", "b", "c"])
        wait_until(lambda: spool.pending() == [])
        assert broker.tries == 1, "a broker that is down is not asked each time"

    def test_without_both_it_is_kept_and_sent_when_one_is_back(
        self, spool: Spool, reporter_on: Callable[..., Reporter], double: Double
    ) -> None:
        broker = Broker()
        broker.down = double.down = True
        reporter = reporter_on(broker, SystemClock(), 3.0)
        reporter.report(entry("a"))
        assert not reporter.flush(0.3)
        assert spool.get("a") is not None
        double.down = False
        double.wait(lambda: "a" in double.completions)

    def test_what_is_on_disk_is_sent_at_the_start(
        self, spool: Spool, reporter_on: Callable[..., Reporter], double: Double
    ) -> None:
        spool.append(entry("old"))
        reporter_on(Broker(), ManualClock(NOW), 3.0)
        double.wait(lambda: "old" in double.completions)

    def test_what_the_coordinator_misses_is_sent_at_once(
        self, spool: Spool, reporter_on: Callable[..., Reporter], double: Double
    ) -> None:
        broker = Broker()
        reporter = reporter_on(broker, ManualClock(NOW), 3.0)
        reporter.report(entry("a"))
        wait_until(lambda: broker.bodies)
        reporter.resend(["a", "unknown"])
        double.wait(lambda: double.received_by_http == ["a"])


class TestLogs:
    @pytest.fixture
    def shipper(self, api: Api) -> Iterator[LogShipper]:
        made = LogShipper(api, ME, limit_bytes=1000)
        made.start()
        yield made
        made.stop()

    def test_output_is_sent_while_the_step_runs(self, shipper: LogShipper, double: Double) -> None:
        log = shipper.open("a", 1, NO_SECRETS)
        log.write(b"one\n")
        double.wait(lambda: double.logs.get("a") == b"one\n")
        log.write(b"two\n")
        assert shipper.close(log, 10) == 8
        assert double.logs["a"] == b"one\ntwo\n"

    def test_a_step_without_output_sends_nothing(self, shipper: LogShipper, double: Double) -> None:
        assert shipper.close(shipper.open("a", 1, NO_SECRETS), 10) == 0
        assert double.logs == {}

    def test_it_is_tried_again_until_it_is_accepted(
        self, shipper: LogShipper, double: Double
    ) -> None:
        double.down = True
        logs = [shipper.open(name, 1, NO_SECRETS) for name in ("a", "b")]
        for number in range(20):
            for log in logs:
                log.write(b"%d\n" % number)
        threading.Timer(0.5, lambda: setattr(double, "down", False)).start()
        assert [shipper.close(log, 10) for log in logs] == [50, 50]
        assert double.logs["a"] == double.logs["b"] == b"".join(b"%d\n" % n for n in range(20))
        assert double.gaps == []

    def test_the_wait_for_it_has_an_end(self, shipper: LogShipper, double: Double) -> None:
        double.down = True
        log = shipper.open("a", 1, NO_SECRETS)
        log.write(b"lost\n")
        assert shipper.close(log, 0.1) == 5
        assert shipper.buffered == 0

    def test_too_much_output_is_cut_and_said_to_be(
        self, shipper: LogShipper, double: Double
    ) -> None:
        log = shipper.open("a", 1, NO_SECRETS)
        for _ in range(3):
            log.write(b"x" * 600)
        size = shipper.close(log, 10)
        assert double.logs["a"] == b"x" * 1000 + logs_module.TRUNCATED
        assert size == len(double.logs["a"])

    def test_a_step_waits_when_nobody_takes_its_output(
        self, api: Api, double: Double, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(logs_module, "_BUFFER_BYTES", 100)
        shipper = LogShipper(api, ME)
        log = shipper.open("a", 1, NO_SECRETS)
        log.write(b"x" * 101)
        assert log.is_full()
        shipper.start()
        wait_until(lambda: not log.is_full())
        shipper.stop()

    def test_the_last_line_is_known_even_when_it_was_sent(
        self, shipper: LogShipper, double: Double
    ) -> None:
        log = shipper.open("a", 1, NO_SECRETS)
        log.write(b"first\nthe reason\n\n")
        shipper.close(log, 10)
        assert log.last_line() == "the reason"


def registration() -> Register:
    return Register(
        worker="w1", boot="b1", classes=["small"], slots=1, hostname="h", machine_boot="m",
        version="0",
    )  # fmt: skip


def claim(attempt: str) -> Claim:
    return Claim(attempt=attempt, fence=1, dispatch_no=1, queue="analytics.small")


def claims(api: Posts, clock: Clock, *, patience: float) -> Claims:
    return Claims(api, ME, clock, patience=timedelta(seconds=patience), stopping=threading.Event())
