"""Whatever comes, a source answers with events, a refusal or `MalformedEvent`, and nothing else."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

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
from tests.unit.integrations.webhooks.requests import (
    NOW,
    Sent,
    assert_well_formed,
    documented,
    published,
)

MUTATIONS = 2000
SHARES = 8
HOSTILE: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 10**30, 2**63, 1e308, "", "x" * 5000, [], {}, [[]], [{}]),
    *("\x00", "\ud800", "a\nb", "../..", "secret://x", "${{ x }}", {"": ""}, [None], "\u202e"),
]


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


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each container of the tree with each of its keys."""
    waiting = [tree]
    while waiting:
        owner = waiting.pop()
        keys = owner if isinstance(owner, dict) else range(len(owner))
        for key in keys:
            yield owner, key
            if isinstance(owner[key], dict | list):
                waiting.append(owner[key])


def changed_tree(body: bytes, chance: random.Random) -> bytes:
    """Return the document with some of its parts gone, swapped, made hostile or nested deep."""
    tree = json.loads(body)
    for _ in range(chance.randint(1, 4)):
        found = list(places(tree)) if isinstance(tree, dict | list) else []
        if not found:
            break
        # Half of the time near the root, where what identifies an event stands.
        owner, key = chance.choice(found[:12] if chance.random() < 0.5 else found)
        match chance.randrange(4):
            case 0 if isinstance(owner, dict):
                del owner[key]
            case 1:
                owner[key] = copy.deepcopy(chance.choice(HOSTILE))  # later changes go into it
            case 2:
                owner[key] = copy.deepcopy(chance.choice(found)[0])
            case _:
                owner[key] = [[[[owner[key]]]]]
    text = json.dumps(tree)
    if chance.random() < 0.1:
        text = text.replace("null", "[" * 120 + "]" * 120, 1)
    if chance.random() < 0.1:
        text = text.replace("0", str(10**400), 1)
    return text.encode()


def changed_bytes(body: bytes, chance: random.Random) -> bytes:
    """Return the bytes with some flipped, cut off or doubled."""
    raw = bytearray(body)
    for _ in range(chance.randint(1, 5)):
        if not raw:
            break
        at = chance.randrange(len(raw))
        match chance.randrange(4):
            case 0:
                raw[at] ^= 1 << chance.randrange(8)
            case 1:
                del raw[at:]
            case 2:
                raw[at:at] = raw[at : at + 40]
            case _:
                raw[at] = chance.choice(b'"{}[]:,\\0e-\x00\xff')
    return bytes(raw)


def changed_headers(headers: Mapping[str, str], chance: random.Random) -> dict[str, str]:
    kept = dict(headers)
    if kept and chance.random() < 0.3:
        name = chance.choice(sorted(kept))
        kept[name] = chance.choice(["", "x" * 6000, "\u00e9\u00ff", "%", "application/json"])
    if chance.random() < 0.1:
        kept["content-type"] = chance.choice(
            [STRUCTURED, BATCHED, "application/x-www-form-urlencoded", "text/plain"]
        )
    return kept


def mutated(share: int) -> Iterator[tuple[Sent, HookRequest]]:
    chance = random.Random(share)
    real = [*published(), *documented()]
    for _ in range(MUTATIONS // SHARES):
        # Each source as often as the other, however many of its bodies are published.
        source = chance.choice(sorted(SOURCES))
        sent = chance.choice([each for each in real if each.source == source])
        change = chance.choice([changed_tree, changed_tree, changed_bytes])
        headers = changed_headers(sent.headers, chance)
        yield sent, HookRequest(headers=headers, body=change(sent.request.body, chance))


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
    real = [each for each in [*published(), *documented()] if each.source == source]
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
