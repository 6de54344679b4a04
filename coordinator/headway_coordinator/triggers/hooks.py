"""What the receivers of webhooks and those who call them agree on. Pure.

A source proves that a request is its sender's (`verify`) and says what happened (`events`). The
application and the HTTP routes know these shapes and never a source by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from headway.errors import DefinitionError
from headway_coordinator.triggers.event import Event

Code: TypeAlias = Literal["unsigned", "bad_signature", "stale"]


@dataclass(frozen=True, slots=True)
class HookRequest:
    """A request as it came: header names in lower case, the body untouched.

    Headers hold tokens, so nothing of a request is shown where one is logged.
    """

    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Verified:
    """It is the sender's. `delivery` is the same when the sender repeats the same delivery."""

    delivery: str


@dataclass(frozen=True, slots=True)
class Refused:
    """It is not proven to be the sender's; the message holds nothing of secrets or signatures."""

    code: Code
    message: str


class MalformedEvent(DefinitionError):
    """A request whose sender is known, or needs no proof, and that holds no event."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, code="malformed_event", hint=hint)


@dataclass(frozen=True, slots=True)
class Source:
    """A kind of sender.

    `verify` needs one secret at least, of which any may be the right one. `events` raises
    `MalformedEvent`. `challenge` is the `WWW-Authenticate` of a refusal, for senders that give
    their password only when they are asked. Where `has_lasting_ids`, an event's id is the same in
    whichever delivery it comes, and another event never has it.
    """

    name: str
    verify: Callable[[HookRequest, Sequence[str], datetime], Verified | Refused]
    events: Callable[[HookRequest], list[Event]]
    challenge: str | None = None
    has_lasting_ids: bool = False
