"""Completions as they arrive: proved to come from the worker that won the claim, made storable.

The same checks hold for both ways in, the event queue and HTTP. What is refused is never sent
again, so nothing is refused that a correct worker could have meant otherwise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headway.protocol.messages import (
    COMPLETION_LIMIT_BYTES,
    Completion,
    MessageError,
    Received,
    Sealed,
    parse,
)
from headway.protocol.proof import completion_token, is_sealed
from headway.refusals import in_words
from headway_coordinator.application.ports import InboxKind, Storage
from headway_coordinator.application.worker_ports import AttemptHold
from headway_coordinator.engine.states import ATTEMPT_TERMINAL

# Told to the worker, and, with underscores, what refusals are counted under: a closed set.
REFUSALS = (
    "malformed",
    "unknown attempt",
    "superseded",
    "not claimed",
    "wrong proof",
    "not of this attempt",
)
_AGAIN = "already_ended"  # counted beside them, and taken: its sender forgets it then
Refused = Callable[[str, str], None]  # kind, detail

_ENDED = frozenset(str(state) for state in ATTEMPT_TERMINAL)


@dataclass(slots=True)
class Verified:
    """Completions that are proved and still wanted; `known` ones have ended already."""

    proved: list[Completion] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def _unheard(kind: str, detail: str) -> None: ...


def record_completions(
    storage: Storage,
    key: bytes,
    team: str,
    sealed: Sequence[Sealed],
    *,
    refused: Refused = _unheard,
) -> Received:
    """Put each proved completion into the inbox; returns which are accepted and which refused."""
    verified = verify_completions(storage, key, sealed, team=team, refused=refused)
    entries: list[tuple[str, InboxKind, str, str, Mapping[str, Any]]] = [
        (c.run, "completion", dedupe(c), f"worker:{c.worker}", c.model_dump(mode="json"))
        for c in verified.proved
    ]
    if entries:
        storage.inbox.add_many(entries)
    accepted = [*verified.known, *(c.attempt for c in verified.proved)]
    return Received(accepted=list(dict.fromkeys(accepted)), refused=verified.refused)


def dedupe(completion: Completion) -> str:
    """Return the inbox key of a completion."""
    return f"completion:{completion.attempt}:{completion.fence}:{completion.seq}"


def verify_completions(
    storage: Storage,
    key: bytes,
    sealed: Sequence[Sealed],
    *,
    team: str | None,
    refused: Refused = _unheard,
) -> Verified:
    """Check each completion against the row of its attempt; one look-up for the whole batch.

    `team` is that of the worker's token; None for the event queue, where the proof alone counts.
    `refused` hears of every refusal, also of those that name no attempt, and of what came again.
    """
    verified = Verified()
    read = []
    for one in sealed:
        completion = _read(one, refused)
        if completion is not None:
            read.append((one, completion))
        elif (attempt := _named(one)) is not None:
            verified.refused[attempt] = "malformed"
    holders = storage.workers.holders([c.attempt for _, c in read], team=team) if read else {}
    for one, completion in read:
        hold = holders.get(completion.attempt)
        reason = _refusal(hold, one, completion, key)
        if reason is not None:
            refused(reason.replace(" ", "_"), _who(completion))
            verified.refused[completion.attempt] = reason
        elif hold is not None and hold.state in _ENDED:
            refused(_AGAIN, _who(completion))
            verified.known.append(completion.attempt)
        else:
            verified.proved.append(completion)
    return verified


def _who(completion: Completion) -> str:
    return f"attempt {completion.attempt} of run {completion.run}, from {completion.worker}"


def _read(sealed: Sealed, refused: Refused) -> Completion | None:
    try:
        completion = parse(Completion, sealed.body, limit=COMPLETION_LIMIT_BYTES)
    except MessageError as error:
        refused("malformed", in_words(error))
        return None
    update = {
        "outputs": storable(completion.outputs),
        "reason": storable(completion.reason),
        "exit_code": _exit_code(completion.exit_code),
        "artifacts": [_clean(artifact) for artifact in completion.artifacts],
        "error": None if completion.error is None else _clean(completion.error),
    }
    return completion.model_copy(update=update)


def _named(sealed: Sealed) -> str | None:
    """Return which attempt an unreadable completion speaks of, so that it can be told so."""
    try:
        attempt = json.loads(sealed.body)["attempt"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return attempt if isinstance(attempt, str) and len(attempt) <= 128 else None


def _clean(message: Any) -> Any:
    return message.model_copy(update=storable(message.model_dump()))


def _exit_code(code: int | None) -> int | None:
    return code if code is None or -(2**31) <= code < 2**31 else 255


def _refusal(
    hold: AttemptHold | None, sealed: Sealed, completion: Completion, key: bytes
) -> str | None:
    if hold is None:
        return "unknown attempt"
    if hold.fence != completion.fence:
        return "superseded"
    if hold.worker is None or hold.boot is None:
        return "not claimed"
    token = completion_token(
        key, attempt=hold.attempt, fence=hold.fence, worker=hold.worker, boot=hold.boot
    )
    if not is_sealed(sealed.body.encode(), sealed.mac, token):
        return "wrong proof"
    said = (completion.run, completion.step, completion.worker, completion.boot)
    if said != (hold.run, hold.step, hold.worker, hold.boot):
        return "not of this attempt"
    return None


def storable(value: Any) -> Any:
    """Return a JSON value that every database and reader can hold.

    U+0000 becomes U+FFFD (PostgreSQL refuses it), numbers that are not finite become null, whole
    numbers beyond 64 bits become floating point: a step's odd output must not stop its run.
    """
    match value:
        case str():
            return value.replace("\0", "\ufffd") if "\0" in value else value
        case bool() | None:
            return value
        case int():
            return value if -(2**63) <= value < 2**63 else _finite(value)
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {storable(name): storable(item) for name, item in value.items()}
        case list() | tuple():
            return [storable(item) for item in value]
        case _:
            return value


def _finite(value: int) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None
