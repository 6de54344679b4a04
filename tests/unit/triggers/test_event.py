"""The event as triggers and expressions see it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from headway_coordinator.triggers.event import Event

EVENT = Event(
    id="1",
    source="/tests",
    type="com.example.landed",
    subject="a.csv",
    time=datetime(2026, 11, 23, tzinfo=UTC),
    data={"a": 1},
    name="pull_request.opened",
    extensions={"partition": "eu", "type": "another", "data": "no"},
)


@pytest.mark.parametrize("wanted", ["pull_request.opened", "pull_request"])
def test_it_is_called_by_its_name_and_by_the_first_part_of_it(wanted: str) -> None:
    assert EVENT.is_called(wanted)


@pytest.mark.parametrize("wanted", ["pull", "pull_request.open", "opened", "", "pull_request."])
def test_it_is_not_called_by_anything_else(wanted: str) -> None:
    assert not EVENT.is_called(wanted)


def test_an_extension_stands_for_no_attribute() -> None:
    root = EVENT.as_root()
    assert root["partition"] == "eu"
    assert (root["type"], root["data"]) == ("com.example.landed", {"a": 1})
    assert root["time"] == EVENT.time
