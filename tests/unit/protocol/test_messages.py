"""Messages are read strictly: what is not of the type it should be is refused, not guessed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headway.protocol.messages import (
    OUTPUTS_LIMIT_BYTES,
    Completion,
    Dispatch,
    Heartbeat,
    LogBatch,
    MessageError,
    Nudge,
    Outcome,
    parse,
)

BEAT = {"worker": "w", "boot": "b", "slots": 4, "slots_free": 2}
DISPATCH = {
    "team": "t",
    "run": "r",
    "step": "s",
    "attempt": "a",
    "fence": 1,
    "dispatch_no": 1,
    "queue": "t.default",
}
COMPLETION = {
    "attempt": "a",
    "fence": 1,
    "run": "r",
    "step": "s",
    "worker": "w",
    "boot": "b",
    "seq": 1,
    "outcome": "succeeded",
    "started_at": "2026-01-01T00:00:00Z",
    "finished_at": "2026-01-01T00:00:01Z",
}


def read(model: Any, given: dict[str, Any], **changed: Any) -> Any:
    return parse(model, json.dumps({**given, **changed}))


@pytest.mark.parametrize(
    ("model", "given", "changed"),
    [
        (Heartbeat, BEAT, {"slots": "2"}),
        (Heartbeat, BEAT, {"slots": 2.0}),
        (Heartbeat, BEAT, {"slots": True}),
        (Heartbeat, BEAT, {"draining": "no"}),
        (Heartbeat, BEAT, {"draining": 0}),
        (Heartbeat, BEAT, {"running": [{"attempt": "a", "fence": "1"}]}),
        (Dispatch, DISPATCH, {"fence": "1"}),
        (Dispatch, DISPATCH, {"v": 1.0}),
        (Dispatch, DISPATCH, {"v": True}),
        (Dispatch, DISPATCH, {"v": 2}),
        (Dispatch, DISPATCH, {"run": 7}),
        (Completion, COMPLETION, {"exit_code": "3"}),
        (Completion, COMPLETION, {"started_at": 1.5}),
        (Completion, COMPLETION, {"started_at": "2026-01-01T00:00:00"}),
        (Completion, COMPLETION, {"outcome": "splendid"}),
        (Nudge, {"nudge": 1}, {"nudge": True}),
    ],
)
def test_other_types_are_refused(model: Any, given: dict[str, Any], changed: Any) -> None:
    read(model, given)
    with pytest.raises(MessageError):
        read(model, given, **changed)


def test_times_outcomes_and_bytes_are_text_in_json() -> None:
    completion = read(Completion, COMPLETION)
    assert completion.outcome is Outcome.SUCCEEDED
    assert parse(Completion, completion.model_dump_json()) == completion
    chunk = {"attempt": "a", "fence": 1, "offset": 0, "data": "aGk="}
    batch = read(LogBatch, {"worker": "w", "boot": "b", "chunks": [chunk]})
    assert batch.chunks[0].data == b"hi"
    assert parse(LogBatch, batch.model_dump_json()) == batch


def test_outputs_have_a_limit_in_bytes_of_compact_json() -> None:
    room = OUTPUTS_LIMIT_BYTES - len('{"a":""}')
    read(Completion, COMPLETION, outputs={"a": "é" * (room // 2)})
    with pytest.raises(MessageError, match="outputs take more than"):
        read(Completion, COMPLETION, outputs={"a": "é" * (room // 2 + 1)})


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("2026-01-01T00:00:00+23:59", "2025-12-31T00:01:00+00:00"),
        ("0001-01-02T00:00:00-23:59", "0001-01-02T23:59:00+00:00"),
    ],
)
def test_times_of_odd_offsets_become_utc(given: str, taken: str) -> None:
    """PostgreSQL refuses offsets of 16 hours and more: their report could never be written."""
    assert read(Completion, COMPLETION, started_at=given).started_at.isoformat() == taken


@pytest.mark.parametrize(
    "changed",
    [
        {"started_at": "0001-01-01T00:00:00+23:59"},
        {"finished_at": "9999-12-31T23:59:59-23:59"},
        {"exit_code": 2**31},
        {"exit_code": -(2**31) - 1},
    ],
)
def test_what_no_column_holds_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(MessageError):
        read(Completion, COMPLETION, **changed)


def test_numbers_that_no_reader_holds_become_the_nearest_that_some_do() -> None:
    text = json.dumps({**COMPLETION, "outputs": {"l": ["@@", 1, {"n": "##"}]}})
    text = text.replace('"@@"', "1" + "0" * 400).replace('"##"', str(2**64))
    assert parse(Completion, text).outputs == {"l": [None, 1, {"n": float(2**64)}]}
