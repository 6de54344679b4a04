"""One try to send a notification: what is sent, what follows from the answer, what is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from headway.clock import ManualClock
from headway_coordinator.access.cipher import UnreadableSecretError
from headway_coordinator.application.notify_ports import Notification, Tried
from headway_coordinator.application.notifying import (
    TRIES,
    Notifier,
    NotSentError,
    Reply,
    asked_wait,
    failed,
    shown_address,
)
from headway_coordinator.application.ports import StorageUnavailable

NOW = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
URL = "https://user:pass@example.com/hook?key=1"
SECOND = timedelta(seconds=1)


class Outside:
    """The receiver, the secrets and the outbox."""

    def __init__(self) -> None:
        self.answer: Reply | Exception = Reply(200)
        self.secrets: dict[str, Any] = {}
        self.sent: list[tuple[str, Mapping[str, str], bytes]] = []
        self.settled: list[tuple[str, int, Tried]] = []
        self.notifier = Notifier(cast(Any, self), self.values, self.post, ManualClock(NOW))

    def values(self, team: str, names: list[str]) -> dict[str, Any]:
        assert team == "analytics"
        return {name: self.secrets[name] for name in names if name in self.secrets}

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        self.sent.append((url, headers, body))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def settle(self, id: str, attempts: int, tried: Tried) -> bool:
        self.settled.append((id, attempts, tried))
        return True

    def tried(self, **changed: Any) -> Tried:
        """Send a notification; return how the try ended."""
        self.notifier.send(notification(**changed))
        return self.settled[-1][2]


@pytest.fixture
def outside() -> Outside:
    return Outside()


def notification(**changed: Any) -> Notification:
    given: dict[str, Any] = {
        "id": "n1",
        "team": "analytics",
        "pipeline": "daily",
        "run": "r1",
        "event": "failed",
        "webhook": URL,
        "body": {"event": "failed", "reason": "ü"},
        "state": "waiting",
        "attempts": 0,
        "created_at": NOW,
        "due_at": NOW,
        "tried_at": None,
        "problem": None,
    }
    return Notification(**{**given, **changed})


def test_what_is_sent_names_its_delivery(outside: Outside) -> None:
    assert outside.tried() == Tried()
    [(url, headers, body)] = outside.sent
    assert url == URL
    assert headers == {"Content-Type": "application/json", "X-Headway-Delivery": "n1"}
    assert json.loads(body) == {"event": "failed", "reason": "ü"}
    assert outside.settled[0][:2] == ("n1", 0)


def test_an_address_may_be_a_secret(outside: Outside) -> None:
    outside.secrets = {"hook": URL}
    assert outside.tried(webhook="secret://hook") == Tried()
    assert [url for url, _, _ in outside.sent] == [URL]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Reply(500), "the receiver answered 500"),
        (Reply(302), "the receiver answered 302"),
        (Reply(199), "the receiver answered 199"),
        (NotSentError("no connection"), "no connection"),
    ],
)
def test_what_fails_is_tried_again(
    outside: Outside, answer: Reply | NotSentError, problem: str
) -> None:
    outside.answer = answer
    assert outside.tried() == Tried(problem, 5 * SECOND)
    assert outside.tried(attempts=TRIES - 1) == Tried(problem, None)
    assert outside.settled[-1][2].state == "dead"


def test_the_waits_lead_from_five_seconds_to_an_hour() -> None:
    waits = [failed(attempts, "no", None).again for attempts in range(TRIES)]
    assert [wait and wait.total_seconds() for wait in waits] == [
        *(5, 15, 45, 135, 405, 1215, 3600),
        None,
    ]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120),
        (" 7 ", 7),
        ("9" * 40, 86_400),
        ("Sun, 01 Mar 2026 06:02:00 GMT", 120),
        ("Sun, 01 Mar 2026 05:00:00 GMT", 0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("²", None),
        ("Sun, 01 Mar 99999999999 06:00:00 GMT", None),
        ("Sun, 01 Mar 2026 06:00:00 +99999999999999999999", None),
    ],
)
def test_what_a_receiver_asks_for(header: str | None, seconds: int | None) -> None:
    asked = asked_wait(header, NOW)
    assert asked == (None if seconds is None else seconds * SECOND)


def test_a_receiver_that_asks_for_longer_is_heeded(outside: Outside) -> None:
    outside.answer = Reply(503, "120")
    assert outside.tried().again == 120 * SECOND
    assert outside.tried(attempts=5).again == 1215 * SECOND


@pytest.mark.parametrize(
    ("secrets", "problem"),
    [
        ({}, "the secret `hook` is not set"),
        ({"hook": UnreadableSecretError("k")}, "the secret `hook` cannot be decrypted"),
    ],
)
def test_a_secret_that_is_not_there_may_come(
    outside: Outside, secrets: dict[str, Any], problem: str
) -> None:
    outside.secrets = secrets
    assert outside.tried(webhook="secret://hook") == Tried(problem, 5 * SECOND)
    assert outside.sent == []


def test_neither_address_nor_secret_is_logged(outside: Outside) -> None:
    outside.secrets = {"hook": URL}
    with capture_logs() as logs:
        for outside.answer in (Reply(200), Reply(500), NotSentError("no connection")):
            outside.tried(webhook="secret://hook")
    assert len(logs) == 3
    said = repr(logs) + repr(outside.settled)
    assert not any(word in said for word in ("pass", "key=1", "example.com"))


@pytest.mark.parametrize(
    ("webhook", "shown"),
    [
        ("secret://hook", "secret://hook"),
        (URL, "https://example.com/…"),
        ("http://[::1]:8080/x", "http://[::1]:8080/…"),
        ("https://example.com:bad/", "…"),
        ("no address", "…"),
    ],
)
def test_of_an_address_only_the_host_is_shown(webhook: str, shown: str) -> None:
    assert shown_address(webhook) == shown


def test_what_nobody_foresaw_counts_as_a_try_and_tells_no_address(outside: Outside) -> None:
    outside.answer = KeyError(URL)
    with capture_logs() as logs:
        tried = outside.tried()
    assert (tried.problem, tried.state) == ("an unexpected KeyError", "waiting")
    assert "example.com" not in repr(logs)


def test_a_database_that_is_away_is_no_try(outside: Outside) -> None:
    outside.answer = StorageUnavailable("cut off")
    with pytest.raises(StorageUnavailable):
        outside.tried()
    assert outside.settled == []
