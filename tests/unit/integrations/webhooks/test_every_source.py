"""What holds for all sources alike: well-formed events from every real request."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headway_coordinator.integrations.webhooks import SOURCES, Refused, Verified
from headway_coordinator.integrations.webhooks.reading import MOST_EVENTS
from headway_coordinator.triggers.hooks import MalformedEvent
from tests.unit.integrations.webhooks.requests import (
    NORMAL,
    NOW,
    SECRET,
    Sent,
    alert,
    alert_group,
    ask,
    assert_normal,
    assert_well_formed,
    documented,
    published,
)

NAMES = {
    *("github", "gitlab", "jenkins", "alertmanager", "docker-registry", "s3", "cdevents"),
    *("standard-webhooks", "generic"),
}


def test_there_are_nine_sources_under_their_own_names() -> None:
    assert set(SOURCES) == NAMES
    assert all(source.name == name for name, source in SOURCES.items())


@pytest.mark.parametrize(
    "sent", [*published(), *documented()], ids=lambda sent: f"{sent.source}: {sent.title}"
)
def test_every_real_request_gives_well_formed_events_in_the_normal_form(sent: Sent) -> None:
    found = SOURCES[sent.source].events(sent.request)
    assert found
    for event in found:
        assert_well_formed(event)
        assert_normal(event)
    assert len({event.id for event in found}) == len(found)


@pytest.mark.parametrize(
    "sent", [*published(), *documented()], ids=lambda sent: f"{sent.source}: {sent.title}"
)
def test_the_same_request_is_told_in_the_same_words(sent: Sent) -> None:
    source = SOURCES[sent.source]
    assert source.events(sent.request) == source.events(sent.request)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_nothing_is_taken_without_proof(name: str) -> None:
    found = SOURCES[name].verify(ask({}), [SECRET], NOW)
    assert isinstance(found, Refused)
    assert found.code == "unsigned"


def test_every_source_and_key_is_documented() -> None:
    page = (Path(__file__).parents[4] / "docs" / "triggers.md").read_text("utf-8")
    of_webhooks = page.partition("\n## CloudEvents\n")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", of_webhooks, re.MULTILINE)
    named = {name for cell in first_cells for name in re.findall(r"`([a-z0-9_-]+)`", cell)}
    assert NAMES | NORMAL | {"unsigned", "bad_signature", "stale", "secret_missing"} == named
    assert set(re.findall(r"^\*\*([a-z0-9-]+)\*\*:", page, re.MULTILINE)) == NAMES


@pytest.mark.parametrize("body", [b"", b"{", b'"text"', b"[]", b"\xff\xfe", b'{"a":NaN}'])
@pytest.mark.parametrize("name", sorted(NAMES - {"standard-webhooks", "generic"}))
def test_what_is_no_object_is_malformed(name: str, body: bytes) -> None:
    with pytest.raises(MalformedEvent) as caught:
        SOURCES[name].events(ask(body, x_github_event="push"))
    assert caught.value.code == "malformed_event"
    assert caught.value.http_status == 422
    assert caught.value.hint


def test_a_body_of_too_many_events_is_malformed() -> None:
    source = SOURCES["alertmanager"]
    alerts = [alert(fingerprint=f"{n:016x}") for n in range(MOST_EVENTS)]
    assert len(source.events(ask(alert_group(*alerts)))) == MOST_EVENTS
    with pytest.raises(MalformedEvent, match="more than 1,000 entries"):
        source.events(ask(alert_group(*alerts, alert())))


def test_a_delivery_that_the_sender_names_at_length_gets_a_short_name() -> None:
    source = SOURCES["generic"]
    request = ask({}, authorization=f"Bearer {SECRET}", x_headway_delivery="d" * 5000)
    found = source.verify(request, [SECRET], NOW)
    assert isinstance(found, Verified)
    assert len(found.delivery) == 64
    [event] = source.events(request)
    assert_well_formed(event)
