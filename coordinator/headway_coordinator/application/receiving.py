"""Events as they come in: proven, kept once, and answered before anything is decided on them.

Any coordinator may take one in; the leader decides. Whoever calls must nudge it afterwards.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from headway import ids
from headway.clock import Clock, rfc3339
from headway.errors import DefinitionError, ForbiddenError
from headway.spec.secrets import PREFIX
from headway_coordinator.access.cipher import UnreadableSecretError
from headway_coordinator.access.roles import Identity
from headway_coordinator.application.hook_secrets import unprovable
from headway_coordinator.application.identity import TEAM_IN_QUERY, demand_team
from headway_coordinator.application.ports import Storage
from headway_coordinator.application.secrets import Secrets
from headway_coordinator.application.trigger_ports import NewEvent, Origin, StoredEvent, TriggerRow
from headway_coordinator.triggers.event import Event
from headway_coordinator.triggers.hooks import HookRequest, Refused, Source, Verified
from headway_coordinator.triggers.keys import short

log = structlog.get_logger("headway.webhooks")

_SILENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Received:
    """The event's id; `created` is false for one that was there already."""

    id: str
    type: str
    created: bool


class HookRefusedError(ForbiddenError):
    """A delivery that is not proven to be its sender's; `challenge` is how it may prove itself."""

    def __init__(
        self,
        code: str,
        message: str,
        challenge: str | None,
        hint: str = "The secret at the sender must be the one that the pipeline's trigger names.",
    ) -> None:
        super().__init__(code, message, hint, status=401)
        self.challenge = challenge


class Receiver:
    """The use cases, on one storage; safe to use from many threads."""

    def __init__(
        self,
        storage: Storage,
        secrets: Secrets,
        clock: Clock,
        sources: Mapping[str, Source],
    ) -> None:
        self._storage = storage
        self._secrets = secrets
        self._clock = clock
        self._sources = sources
        # When each address was last told of; only those that some trigger has come here.
        self._told: dict[str, float] = {}
        self._lock = threading.Lock()

    # --- webhooks --------------------------------------------------------------------------------

    def hook(self, source: str, name: str, request: HookRequest) -> list[Received]:
        """Keep the events of a delivery, for each team whose secret proves it.

        Raises:
            ForbiddenError: no trigger has this address (404).
            HookRefusedError: no team's secret proves the delivery.
            DefinitionError: the delivery holds no event.
        """
        kind = self._sources.get(source)
        rows = self._storage.triggers.listening("webhook", f"{source}/{name}")
        if kind is None or not rows:
            message = f"no trigger listens to {source}/{name}"
            hint = "headway triggers list shows the addresses of webhooks"
            raise ForbiddenError("not_found", message, hint, status=404)
        proven = self._proven(kind, rows, request)
        events = kind.events(request)
        subject = f"{source}/{name}"
        new = [
            self._new(
                event,
                team=team,
                origin="webhook",
                subject=subject,
                dedupe=f"hook:{team}:{subject}:{_hook_key(kind, verified, event, number)}",
                actor=f"hook:{subject}",
            )
            for team, verified in sorted(proven.items())
            for number, event in enumerate(events)
        ]
        return self._keep(new)

    def _proven(
        self, kind: Source, rows: Sequence[TriggerRow], request: HookRequest
    ) -> dict[str, Verified]:
        proven: dict[str, Verified] = {}
        refusals: list[Refused] = []
        now = self._clock.now()
        for team in sorted({row.team for row in rows}):
            for secrets in self._secrets_of(team, rows):
                found = kind.verify(request, secrets, now)
                if isinstance(found, Verified):
                    proven.setdefault(team, found)
                else:
                    refusals.append(found)
        if proven:
            return proven
        if not refusals:
            self._tell_unprovable(rows)
            message = "the secret that the pipeline's trigger names is not set here"
            mend = "Set it with `headway secret set`; the sender may then send this again."
            raise HookRefusedError("secret_missing", message, None, mend)
        first = refusals[0]
        raise HookRefusedError(first.code, first.message, kind.challenge)

    def _tell_unprovable(self, rows: Sequence[TriggerRow]) -> None:
        """Log it for whoever can mend it, once a minute an address: anybody may send."""
        subject, now = rows[0].subject, self._clock.monotonic()
        with self._lock:
            if now - self._told.get(subject, -_SILENCE_S) < _SILENCE_S:
                return
            self._told[subject] = now
        readable = self._secrets.readable(sorted({row.team for row in rows}))
        for row in rows:
            if (why := unprovable(row, readable)) is not None:
                place = "/".join(row.key)
                log.warning("webhook_unprovable", trigger=place, reason=why.message, hint=why.hint)

    def _secrets_of(self, team: str, rows: Sequence[TriggerRow]) -> list[tuple[str, ...]]:
        """Return the values of each trigger's secrets, every set once."""
        wanted = dict.fromkeys(
            tuple(text.removeprefix(PREFIX) for text in row.body["webhook"]["secret"])
            for row in rows
            if row.team == team
        )
        values = self._secrets.values(team, {name for names in wanted for name in names})
        known = {n: v for n, v in values.items() if not isinstance(v, UnreadableSecretError)}
        sets = (tuple(known[name] for name in names if name in known) for names in wanted)
        return [each for each in dict.fromkeys(sets) if each]

    # --- CloudEvents -----------------------------------------------------------------------------

    def events(
        self, identity: Identity, team: str | None, events: Sequence[Event]
    ) -> list[Received]:
        """Keep CloudEvents that somebody with a token sends to a team.

        Raises:
            DefinitionError: it is not clear to which team.
            ForbiddenError: the team is outside the identity's scope, or is not there.
        """
        team = self._team(identity, team)
        return self._keep(
            [
                self._new(
                    event,
                    team=team,
                    origin="cloudevent",
                    subject=event.type,
                    dedupe=_ce_key(team, event),
                    actor=identity.subject,
                )
                for event in events
            ]
        )

    def broker_events(self, team: str, events: Sequence[Event]) -> list[Received]:
        """Keep CloudEvents that came through the broker's queue of a team."""
        return self._keep(
            [
                self._new(
                    event,
                    team=team,
                    origin="broker",
                    subject=event.type,
                    dedupe=_ce_key(team, event),
                    actor="broker",
                )
                for event in events
            ]
        )

    def _team(self, identity: Identity, team: str | None) -> str:
        if identity.team is not None and team not in (None, identity.team):
            message = f"you act for team `{identity.team}`, not for `{team}`"
            raise ForbiddenError("foreign_team", message, "Leave the team out.")
        chosen = team or identity.team
        if chosen is None:
            names = [str(row["name"]) for row in self._storage.access.teams()]
            if len(names) != 1:
                message = "an event is sent to one team, and your token is for all of them"
                raise DefinitionError(message, code="team_needed", hint=TEAM_IN_QUERY)
            return names[0]
        demand_team(self._storage.access, chosen)
        return chosen

    # --- kept events -----------------------------------------------------------------------------

    def visible(self, identity: Identity, id: str) -> StoredEvent:
        """Return an event within the identity's scope. Raises ForbiddenError (404)."""
        event = self._storage.events.get(id)
        if event is None or not identity.covers(event.team):
            message = f"there is no event {id}"
            raise ForbiddenError("not_found", message, "see headway events list", status=404)
        return event

    def shown(self, identity: Identity, id: str) -> dict[str, Any]:
        """Return the event with every trigger's decision. Raises ForbiddenError (404)."""
        event = self.visible(identity, id)
        decisions = self._storage.events.decisions(id)
        if identity.team is not None:
            decisions = [d for d in decisions if d["team"] == identity.team]
        return {
            "id": event.id,
            "team": event.team,
            "origin": event.origin,
            "subject": event.subject,
            "actor": event.actor,
            "received_at": event.received_at,
            "decided_at": event.decided_at,
            "event": dict(event.event),
            "decisions": decisions,
        }

    def replay(self, identity: Identity, id: str, key: str | None) -> Received:
        """Keep the event once more: every trigger decides anew. Raises ForbiddenError (404).

        The same `key` is the same replay.
        """
        event = self.visible(identity, id)
        new = ids.new_id(self._clock)
        return self._keep(
            [
                NewEvent(
                    id=new,
                    team=event.team,
                    origin=event.origin,
                    subject=event.subject,
                    dedupe=f"replay:{event.id}:{key or new}",
                    actor=identity.subject,
                    event={**event.event, "replay_of": event.id},
                )
            ]
        )[0]

    def _keep(self, events: Sequence[NewEvent]) -> list[Received]:
        kept = self._storage.events.add(events)
        pairs = zip(kept, events, strict=True)
        return [Received(id, str(new.event["type"]), created) for (id, created), new in pairs]

    def _new(
        self, event: Event, *, team: str, origin: Origin, subject: str, dedupe: str, actor: str
    ) -> NewEvent:
        return NewEvent(
            ids.new_id(self._clock),
            team,
            origin,
            subject,
            dedupe,
            actor,
            kept_form(event, self._clock.now()),
        )


def kept_form(event: Event, received: datetime) -> dict[str, Any]:
    """Return the event as JSON, as it is kept and shown; without a time of its own it happened
    when it was received."""
    return {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": rfc3339(event.time or received),
        "name": event.name,
        "data": event.data,
        "extensions": dict(event.extensions),
    }


def _hook_key(kind: Source, verified: Verified, event: Event, number: int) -> str:
    """Return what tells the event from others of its hook."""
    if kind.has_lasting_ids:
        return short(event.id)
    return f"{short(verified.delivery)}:{number}"


def _ce_key(team: str, event: Event) -> str:
    # The specification: source and id together tell one event from another.
    return f"ce:{team}:{short(event.source)}:{short(event.id)}"
