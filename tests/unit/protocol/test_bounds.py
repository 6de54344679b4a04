"""What a JSON text asks of its reader is told before it is read."""

from __future__ import annotations

import json

import pytest

from headway.protocol.bounds import is_flooded, values_in
from headway.protocol.messages import (
    ClaimBatch,
    Completion,
    CompletionBatch,
    Heartbeat,
    LogBatch,
    Message,
    MessageError,
    Register,
    parse,
)

FEW = 10


@pytest.mark.parametrize(
    "value",
    [
        [0] * 9,
        {"k" + "," * 99: "[{" * 50},
        {"a": "\\", "b": '"', "c": '\\"', "d": ',"' * 50, "e": '\\\\",[' * 20},
        {",".join("abc"): ["\\\\"] * 5},
    ],
)
def test_texts_do_not_count_whatever_stands_in_them(value: object) -> None:
    assert values_in(json.dumps(value).encode(), FEW) <= FEW


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 11,
        b"[],[],[],[],[],[]",
        b"1," * 10,
        b'"",' * 10,
        b'{"a":1,' * 6,
        b'"\\\\",' * 10,
        b'"\\"",1,1,1,1,1,1,1,1,1,1',
    ],
)
def test_what_stands_outside_counts(raw: bytes) -> None:
    assert values_in(raw, FEW) > FEW


def many_keys(count: int) -> dict[str, int]:
    return {f"k{number}": 1 for number in range(count)}


@pytest.mark.parametrize(
    ("value", "flooded"),
    [
        (many_keys(3000), True),
        ({"list": [{"deep": many_keys(3000)}]}, True),
        ([many_keys(3000)], True),
        ({"outputs": many_keys(3000)}, False),
        ({"inner": {"outputs": many_keys(3000)}}, True),
        ({"list": [many_keys(3)] * 1000}, False),
        (many_keys(100), False),
    ],
)
def test_an_object_of_many_keys_is_told(value: object, flooded: bool) -> None:
    assert is_flooded(json.dumps(value).encode(), frozenset({"outputs"})) is flooded


def raw_of(head: str, unit: str, tail: str, size: int) -> bytes:
    return (head + unit * (size // len(unit)) + tail).encode()


@pytest.mark.parametrize("model", [Register, ClaimBatch, Heartbeat, CompletionBatch, LogBatch])
def test_a_message_of_too_many_values_is_refused_unread(model: type[Message]) -> None:
    """Its last byte is wrong, which nobody comes to see."""
    with pytest.raises(MessageError, match=r"values$"):
        parse(model, raw_of('{"worker": [', "[],", "!", 2_000_000))


@pytest.mark.parametrize(
    ("model", "unit"), [(Completion, '"k":1,'), (Heartbeat, '"key":{},'), (Completion, '"a":[],')]
)
def test_a_message_of_many_keys_is_refused(model: type[Message], unit: str) -> None:
    keys = ",".join(
        unit.replace("k", f"k{n}").replace("a", f"a{n}").strip(",") for n in range(9000)
    )
    with pytest.raises(MessageError, match="too many keys"):
        parse(model, b"{" + keys.encode() + b"}")


def test_the_first_wrong_item_is_told_and_no_other() -> None:
    raw = raw_of('{"worker":"w","boot":"b","claims":[', "{},", "{}]}", 9000)
    with pytest.raises(MessageError, match="4 validation errors"):
        parse(ClaimBatch, raw)


def test_the_largest_heartbeat_is_read() -> None:
    held = [{"attempt": "a" * 60, "fence": 2**40}]
    beat = {
        "worker": "w",
        "boot": "b",
        "slots": 1,
        "slots_free": 1,
        "running": held * 10_000,
        "finished": held * 20_000,
        "reaped": held * 10_000,
    }
    assert len(parse(Heartbeat, json.dumps(beat)).finished) == 20_000


def test_outputs_may_have_as_many_keys_and_items_as_fit() -> None:
    at = "2026-03-01T06:00:00Z"
    outputs = {"list": [1] * 60_000, "object": many_keys(10_000)}
    said = {
        "attempt": "a",
        "fence": 1,
        "run": "r",
        "step": "s",
        "worker": "w",
        "boot": "b",
        "seq": 1,
        "outcome": "succeeded",
        "started_at": at,
        "finished_at": at,
        "outputs": outputs,
    }
    assert parse(Completion, json.dumps(said)).outputs == outputs
