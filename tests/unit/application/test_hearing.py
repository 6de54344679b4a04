"""What letters hold is kept team by team; what is no CloudEvent is counted and said once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from headway.refusals import Refusals
from headway_coordinator.application.hearing import LONGEST_BYTES, Hearing, Letter
from headway_coordinator.application.ports import StorageUnavailable
from headway_coordinator.application.receiving import Received
from headway_coordinator.integrations.webhooks import cloudevents
from headway_coordinator.triggers.event import Event

JSON = "application/cloudevents+json"


class Keeper:
    """Keeps events, each id once; fails for those of type `bad`, or altogether."""

    def __init__(self) -> None:
        self.kept: dict[str, list[str]] = {}
        self.away = False

    def __call__(self, team: str, events: Sequence[Event]) -> list[Received]:
        if self.away:
            raise StorageUnavailable("cut off")
        if any(event.type == "bad" for event in events):
            raise ValueError("cannot be kept")
        ids = self.kept.setdefault(team, [])
        made = []
        for event in events:
            made.append(Received(event.id, event.type, created=event.id not in ids))
            if made[-1].created:
                ids.append(event.id)
        return made


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


@pytest.fixture
def refused() -> list[str]:
    return []


@pytest.fixture
def hearing(keeper: Keeper, refused: list[str]) -> Hearing:
    return Hearing(keeper, cloudevents.parse, Refusals(refused.append))


def document(id: str, **keys: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": id, "source": "/t", "type": "com.example.file", **keys}


def letter(value: Any, content_type: str = JSON, team: str = "demo") -> Letter:
    return Letter(team, content_type, json.dumps(value).encode(), None)


def test_events_are_kept_for_the_team_of_their_queue(hearing: Hearing, keeper: Keeper) -> None:
    letters = [
        letter(document("1")),
        letter(document("2"), "application/json; charset=utf-8"),
        letter(document("1")),
        letter(document("3"), team="other"),
        letter([document("4"), document("5")], "application/cloudevents-batch+json"),
    ]
    assert hearing.take(letters) == 5
    assert keeper.kept == {"demo": ["1", "2", "4", "5"], "other": ["3"]}
    assert hearing.take(letters) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        Letter("demo", JSON, b"{", None),
        Letter("demo", JSON, b"\xff", None),
        Letter("demo", JSON, b"[" * 100_000, None),
        Letter("demo", "", b"", None, "it is not JSON"),
        Letter("demo", JSON, b" " * (LONGEST_BYTES + 1), None),
        letter(document("1"), "text/plain"),
        letter(document("1", specversion="0.3")),
        letter({}),
        letter(document("1", type="bad")),
    ],
)
def test_what_is_no_event_is_counted_said_once_and_stops_no_other(
    hearing: Hearing, keeper: Keeper, refused: list[str], wrong: Letter
) -> None:
    with capture_logs() as logs:
        assert hearing.take([wrong, letter(document("9")), wrong]) == 1
    assert keeper.kept == {"demo": ["9"]}
    assert refused == ["not_an_event"] * 2
    [said] = [log for log in logs if log["event"] == "message_refused"]
    assert said["queue"] == "headway.events.demo"
    assert said["reason"]


def test_while_the_database_is_away_nothing_is_taken(
    hearing: Hearing, keeper: Keeper, refused: list[str]
) -> None:
    keeper.away = True
    with pytest.raises(StorageUnavailable):
        hearing.take([letter(document("1"))])
    keeper.away = False
    assert hearing.take([letter(document("1"))]) == 1
    assert refused == []
