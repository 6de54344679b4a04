"""Whatever comes, a source answers with events, a refusal or `MalformedEvent`, and nothing else."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator

import pytest

from headway_coordinator.integrations.webhooks import (
    SOURCES,
    HookRequest,
    MalformedEvent,
    Refused,
    Verified,
)
from headway_coordinator.integrations.webhooks.cloudevents import BATCHED, STRUCTURED, parse
from headway_coordinator.triggers.event import Event
from tests.hostile.inputs import DOCUMENTS, STRINGS
from tests.unit.integrations.webhooks.mutations import (
    REAL,
    changed_body,
    changed_headers,
    chosen,
    places,
)
from tests.unit.integrations.webhooks.requests import NOW, Sent, assert_well_formed

MUTATIONS = 2000
SHARES = 8


def outcome(read: Callable[[], list[Event]]) -> int:
    """Check what comes of reading; return the number of events, -1 where it is malformed."""
    found: list[Event] = []
    refusal: MalformedEvent | None = None
    try:
        found = read()
    except MalformedEvent as error:
        refusal = error
    if refusal is not None:
        assert refusal.message
        assert refusal.hint
        return -1
    for event in found:
        assert_well_formed(event)
    return len(found)


def judged(source: str, request: HookRequest) -> int:
    """Check verdict and events of a request, whoever sent it."""
    verdict = SOURCES[source].verify(request, ["one secret", "whsec_dHdv"], NOW)
    assert isinstance(verdict, Verified | Refused)
    return outcome(lambda: SOURCES[source].events(request))


def mutated(share: int) -> Iterator[tuple[Sent, HookRequest]]:
    chance = random.Random(share)
    for _ in range(MUTATIONS // SHARES):
        # Each source as often as the other, however many of its bodies are published.
        sent = chosen(chance.choice(sorted(SOURCES)), chance)
        headers = changed_headers(sent.headers, chance)
        yield sent, HookRequest(headers=headers, body=changed_body(sent.request.body, chance))


@pytest.mark.parametrize("share", range(SHARES))
def test_changed_requests_give_events_or_are_malformed(share: int) -> None:
    counts = [judged(sent.source, request) for sent, request in mutated(share)]
    assert len(counts) == MUTATIONS // SHARES
    # Both happen, or the changes would prove nothing.
    assert sum(count > 0 for count in counts) > len(counts) // 10
    assert sum(count < 0 for count in counts) > len(counts) // 10


HEADERS = {"x-github-event": "push", "x-gitlab-event": "Push Hook", "x-headway-event": "e"}


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_documents_that_may_be_json(source: str) -> None:
    for document in DOCUMENTS:
        count = judged(source, HookRequest(headers=HEADERS, body=document.body))
        assert count < 0 or document.expect != "reject", document.name


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_naughty_texts_in_every_place(source: str) -> None:
    real = [each for each in REAL if each.source == source]
    for number, text in enumerate(STRINGS):
        sent = real[number % len(real)]
        tree = json.loads(sent.request.body)
        found = list(places(tree))
        owner, key = found[number % len(found)]
        owner[key] = text
        headers = {**sent.headers, "x-github-event": text, "x-headway-delivery": text}
        judged(source, HookRequest(headers=headers, body=json.dumps(tree).encode()))


@pytest.mark.parametrize("mode", [STRUCTURED, BATCHED, "binary"])
def test_hostile_cloudevents(mode: str) -> None:
    named = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/t", "ce-type": "t"}
    headers = {"content-type": mode} if mode != "binary" else named
    for document in DOCUMENTS:
        count = outcome(lambda body=document.body: parse(headers, body))  # type: ignore[misc]
        assert count < 0 or document.expect != "reject" or not document.body, document.name
    for text in STRINGS:
        event = {"specversion": "1.0", "id": text, "source": text, "type": text, "data": text}
        body = json.dumps([event] if mode == BATCHED else event).encode()
        outcome(lambda body=body: parse(headers, body))  # type: ignore[misc]
        spoken = {**named, "ce-id": text, "ce-subject": text}
        outcome(lambda spoken=spoken: parse(spoken, b"{}"))  # type: ignore[misc]
