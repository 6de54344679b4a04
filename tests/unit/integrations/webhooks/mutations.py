"""Real requests, changed by chance: parts gone, swapped, hostile or nested deep, bytes flipped."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator, Mapping
from typing import Any

from headway_coordinator.integrations.webhooks.cloudevents import BATCHED, STRUCTURED
from tests.unit.integrations.webhooks.requests import Sent, documented, published

REAL = [*published(), *documented()]
HOSTILE: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 10**30, 2**63, 1e308, "", "x" * 5000, [], {}, [[]], [{}]),
    *("\x00", "\ud800", "a\nb", "../..", "secret://x", "${{ x }}", {"": ""}, [None], "\u202e"),
]


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


def changed_body(body: bytes, chance: random.Random) -> bytes:
    """Return the body with its tree changed, or, every third time, its bytes."""
    change = chance.choice([changed_tree, changed_tree, changed_bytes])
    return change(body, chance)


def chosen(source: str, chance: random.Random) -> Sent:
    """Return one of the real requests of a source."""
    return chance.choice([each for each in REAL if each.source == source])
