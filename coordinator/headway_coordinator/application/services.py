"""What the HTTP side is made of: built once by the process, handed to the API and to the pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from headway.clock import Clock
from headway.findings import Finding, unknown
from headway_coordinator.access.cipher import Cipher
from headway_coordinator.application.identity import Identities
from headway_coordinator.application.ports import Storage, Store
from headway_coordinator.application.receiving import Receiver
from headway_coordinator.application.secrets import Secrets
from headway_coordinator.triggers.event import Event
from headway_coordinator.triggers.hooks import MalformedEvent, Source


def _uncounted(kind: str) -> None: ...


def _unexamined() -> list[Finding]:
    why = "this process does not examine its servers"
    mend = "run `headway doctor` where HEADWAY_DATABASE_URL and HEADWAY_BROKER_URL are set"
    return [unknown("database.reachable", why, mend), unknown("broker.reachable", why, mend)]


def _answers() -> bool:
    return True


def _no_events(headers: Mapping[str, str], body: bytes) -> Sequence[Event]:
    raise MalformedEvent("this process takes no events", "send them to a coordinator")


def _nobody() -> None: ...


def _nothing() -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Services:
    """The parts. `nudge` wakes the leader, `nudge_triggers` what decides on events,
    `nudge_notifications` what sends them; none raises or blocks. `dispatch_state` says what
    this process knows of the broker; `refused` counts a refused completion by its kind; `examine`
    looks at the database's and the broker's servers themselves, `broker_answers` only whether the
    broker is there. `former_keys` are secret keys that
    secrets may still be encrypted under. A dispatch that nobody claimed for `late_after` makes
    workers with free slots doubt that they hear its queue."""

    storage: Storage
    store: Store
    secret_key: bytes = field(repr=False)
    clock: Clock
    nudge: Callable[[], None]
    worker_lease: timedelta
    heartbeat: timedelta
    nudge_triggers: Callable[[], None] = _nobody
    nudge_notifications: Callable[[], None] = _nobody
    late_after: timedelta = timedelta(seconds=30)
    dispatch_state: Callable[[], Mapping[str, Any]] = _nothing
    refused: Callable[[str], None] = _uncounted
    examine: Callable[[], list[Finding]] = _unexamined
    broker_answers: Callable[[], bool] = _answers
    former_keys: Sequence[bytes] = field(default=(), repr=False)
    hook_sources: Mapping[str, Source] = field(default_factory=dict)
    cloudevents: Callable[[Mapping[str, str], bytes], Sequence[Event]] = _no_events
    identities: Identities = field(init=False, repr=False)
    secrets: Secrets = field(init=False, repr=False)
    receiver: Receiver = field(init=False, repr=False)

    @property
    def live_within(self) -> timedelta:
        """How recently a worker must have been heard of to count as live."""
        return self.heartbeat * 4

    def __post_init__(self) -> None:
        identities = Identities(self.storage.access, self.secret_key, self.clock)
        object.__setattr__(self, "identities", identities)
        secrets = Secrets(self.storage, Cipher(self.secret_key, self.former_keys))
        object.__setattr__(self, "secrets", secrets)
        receiver = Receiver(self.storage, secrets, self.clock, self.hook_sources)
        object.__setattr__(self, "receiver", receiver)
