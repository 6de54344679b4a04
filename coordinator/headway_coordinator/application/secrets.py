"""Secrets: set, listed, removed, and handed to those who have won the claim of a step.

A value is in the clear only in the request that sets it and in the answer to a claim. Nothing here
logs one, and no error repeats one. Whatever else is to use a secret, such as the signature of a
webhook, asks `Secrets.values` for its own team's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headway.errors import ConflictError, DefinitionError, ForbiddenError
from headway.protocol.messages import StepError
from headway.spec.secrets import LONGEST_BYTES, NAME, NAME_RULE, PREFIX, SHORTEST, named_in
from headway_coordinator.access.cipher import (
    NONCE_BYTES,
    Cipher,
    SealedSecret,
    UnreadableSecretError,
)
from headway_coordinator.access.roles import Identity
from headway_coordinator.application.access_ports import SecretInfo
from headway_coordinator.application.identity import (
    TEAM_IN_BODY,
    TEAM_IN_QUERY,
    demand_team,
)
from headway_coordinator.application.ports import Storage
from headway_coordinator.application.worker_ports import ClaimResult

_TRIES = 5  # as often two may set the same secret at the same moment


@dataclass(frozen=True, slots=True)
class Given:
    """What an attempt is given: the values that its step names, or why it cannot be performed."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    failure: StepError | None = None


NOTHING_GIVEN = Given()


class Secrets:
    """The use cases, on one storage and one cipher; safe to use from many threads."""

    def __init__(
        self,
        storage: Storage,
        cipher: Cipher,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._storage = storage
        self._cipher = cipher
        self._random_bytes = random_bytes

    def put(self, identity: Identity, team: str | None, name: str, value: str) -> dict[str, Any]:
        """Return {name, team, version, changed}; the value that is there already changes nothing.

        Raises:
            DefinitionError: the name or the value is unfit, or the team is not clear or unknown.
            ForbiddenError: the team is outside the identity's scope.
            ConflictError: others set it again and again at this moment.
        """
        team = self._team(identity, team, TEAM_IN_BODY)
        _demand_fit(name, value)
        row = {"name": name, "team": team}
        for _ in range(_TRIES):
            present = next(iter(self._storage.secrets.find(team, [name])), None)
            if present is not None and self._is(present, value):
                return {**row, "version": present.version, "changed": False}
            before = None if present is None else present.version
            new = self._sealed(team, name, (before or 0) + 1, value)
            if self._storage.secrets.put(new, before=before, actor=identity.subject):
                return {**row, "version": new.version, "changed": True}
        raise ConflictError("secret_busy", f"the secret `{name}` is being set by others", "Retry.")

    def listing(self, identity: Identity, team: str | None) -> list[dict[str, Any]]:
        """Return {name, team, version, changed_at, changed_by, readable}; never a value."""
        teams = identity.teams
        if team is not None:
            _demand_covered(identity, team)
            teams = [team]
        return [self._row(info) for info in self._storage.secrets.listing(teams)]

    def remove(self, identity: Identity, team: str | None, name: str) -> dict[str, Any]:
        """Remove a secret; attempts that have started keep what they were given.

        Raises ForbiddenError: there is none (404), or the team is outside the identity's scope.
        """
        team = self._team(identity, team, TEAM_IN_QUERY)
        version = None
        if NAME.fullmatch(name):
            version = self._storage.secrets.remove(team, name, actor=identity.subject)
        if version is None:
            message = f"team {team} has no secret `{name[:80]}`"
            raise ForbiddenError("not_found", message, "see `headway secret list`", status=404)
        return {"name": name, "team": team, "version": version, "removed": True}

    def rekey(self, identity: Identity) -> dict[str, Any]:
        """Encrypt under the present key what is under a former one: {rekeyed, unreadable: […]}.

        Raises ForbiddenError unless the identity acts for the whole installation.
        """
        if identity.team is not None:
            message = "only an administrator of the whole installation changes keys"
            raise ForbiddenError("forbidden", message, "Ask one.")
        rekeyed, unreadable = 0, []
        for old in self._storage.secrets.sealed_otherwise(self._cipher.key_id):
            try:
                value = self._cipher.open(old)
            except UnreadableSecretError:
                unreadable.append({"team": old.team, "name": old.name})
                continue
            new = self._sealed(old.team, old.name, old.version, value)
            rekeyed += self._storage.secrets.reseal(old, new, actor=identity.subject)
        return {"rekeyed": rekeyed, "unreadable": unreadable}

    def values(self, team: str, names: Collection[str]) -> dict[str, str | UnreadableSecretError]:
        """Return those of the team's secrets that exist: the value, or why it cannot be read."""
        found: dict[str, str | UnreadableSecretError] = {}
        for sealed in self._storage.secrets.find(team, names) if names else ():
            try:
                found[sealed.name] = self._cipher.open(sealed)
            except UnreadableSecretError as error:
                found[sealed.name] = error
        return found

    def readable(self, teams: Sequence[str] | None) -> dict[tuple[str, str], bool]:
        """Return each secret of the teams (None: all) that is set, by team and name, and whether
        its value can be read here."""
        rows = self._storage.secrets.listing(teams)
        return {(row.team, row.name): self._cipher.knows(row.key_id) for row in rows}

    def for_claims(self, team: str, results: Sequence[ClaimResult]) -> dict[str, Given]:
        """Return what each won attempt that names secrets is given; one read for all of them.

        The team is that of the token which claimed: no definition reaches another team's.
        """
        named = {
            result.attempt: sorted({use.name for use in result.work.secrets})
            for result in results
            if result.work is not None and result.work.secrets
        }
        if not named:
            return {}
        values = self.values(team, {name for names in named.values() for name in names})
        return {attempt: _given(team, names, values) for attempt, names in named.items()}

    def warnings(self, applied: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return a warning for each secret that an applied definition names and its team lacks.

        It is no error: the secret may be set by somebody else, and later.
        """
        found = []
        for row in applied:
            stored = self._storage.definitions.get(row["digest"])
            names = set() if stored is None else _named(stored.canonical)
            if names:
                names -= {each.name for each in self._storage.secrets.find(row["team"], names)}
            found += [_unset(row["pipeline"], row["team"], name) for name in sorted(names)]
        return found

    def _team(self, identity: Identity, team: str | None, hint: str) -> str:
        """Return the team that is meant: the named one, the identity's, or the only one."""
        if team is not None or identity.team is not None:
            team = team or identity.team
            assert team is not None
            _demand_covered(identity, team)
            demand_team(self._storage.access, team)
            return team
        names = [str(row["name"]) for row in self._storage.access.teams()]
        if len(names) == 1:
            return names[0]
        message = "a secret belongs to one team, and your token is for all of them"
        raise DefinitionError(message, code="team_needed", hint=hint)

    def _sealed(self, team: str, name: str, version: int, value: str) -> SealedSecret:
        nonce = self._random_bytes(NONCE_BYTES)
        return self._cipher.seal(team, name, version, value, nonce)

    def _is(self, present: SealedSecret, value: str) -> bool:
        try:
            same = self._cipher.open(present) == value
        except UnreadableSecretError:
            return False
        return same and present.key_id == self._cipher.key_id

    def _row(self, info: SecretInfo) -> dict[str, Any]:
        return {
            "name": info.name,
            "team": info.team,
            "version": info.version,
            "changed_at": info.changed_at,
            "changed_by": info.changed_by,
            "readable": self._cipher.knows(info.key_id),
        }


def _named(canonical: Mapping[str, Any]) -> set[str]:
    """Return the secrets that a definition's steps, webhooks and notices name."""
    names = {
        name
        for group in ("steps", "finally")
        for step in canonical[group]
        for name in named_in(step)
    }
    texts = [notice["webhook"] for notice in canonical.get("notify") or ()]
    for trigger in canonical.get("triggers") or ():
        texts += (trigger.get("webhook") or {}).get("secret") or ()
    return names | {text.removeprefix(PREFIX) for text in texts if text.startswith(PREFIX)}


def _unset(pipeline: str, team: str, name: str) -> dict[str, Any]:
    return {
        "code": "secret_missing",
        "pipeline": pipeline,
        "team": team,
        "secret": name,
        "message": f"team {team} has no secret `{name}`, which {pipeline} names: what uses "
        "it fails until it is set",
        "hint": f"headway secret set {name} --team {team}",
    }


def _given(
    team: str, names: Sequence[str], values: Mapping[str, str | UnreadableSecretError]
) -> Given:
    found = {}
    for name in names:
        value = values.get(name)
        mend = f"headway secret set {name} --team {team}"
        if value is None:
            message = f"the secret `{name}` of team {team} is not set; set it: {mend}"
            return Given(failure=StepError(code="secret_missing", message=message))
        if isinstance(value, UnreadableSecretError):
            message = f"the secret `{name}` of team {team} cannot be decrypted: {value}; give the"
            message += f" coordinators the former key, or set it again: {mend}"
            return Given(failure=StepError(code="secret_unreadable", message=message))
        found[name] = value
    return Given(found)


def _demand_covered(identity: Identity, team: str) -> None:
    if not identity.covers(team):
        message = f"team `{team}` has secrets of its own; you act for another team"
        raise ForbiddenError("foreign_team", message, f"Use a token of team {team}.")


def _demand_fit(name: str, value: str) -> None:
    if not NAME.fullmatch(name):
        message = f"`{name[:80]}` is no name of a secret"
        raise DefinitionError(message, code="bad_name", hint=f"It takes {NAME_RULE}.")
    why = _unfit(value)
    if why is not None:
        message, hint = why
        raise DefinitionError(f"the value {message}", code="bad_secret", hint=hint)


def _unfit(value: str) -> tuple[str, str] | None:
    """Return what is wrong with a value and the mend; never a part of it."""
    if len(value.strip()) < SHORTEST:
        hint = "Take a longer one: it would strike out ordinary words of logs."
        return f"has fewer than {SHORTEST} characters", hint
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return "is not text that UTF-8 can hold", "Encode it with base64, and decode it in the step"
    if size > LONGEST_BYTES:
        hint = "Keep a key here, and what it opens elsewhere."
        return f"has {size} bytes, more than {LONGEST_BYTES}", hint
    if "\0" in value:
        return "holds U+0000, which no environment can carry", "Encode it with base64."
    return None
