"""What is needed of storage about teams, tokens and secrets; the adapters implement it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from headway_coordinator.access.cipher import SealedSecret

Role = Literal["viewer", "operator", "author", "admin", "worker"]


@dataclass(frozen=True, slots=True)
class Token:
    """`team` None: all teams (the platform's own people). `expires_at` None: never."""

    id: str
    subject: str
    team: str | None
    role: Role
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


class Access(Protocol):
    def add_team(self, name: str, actor: str) -> bool:
        """Return whether it is new."""

    def teams(self) -> list[dict[str, Any]]: ...

    def add_token(self, token: Token, sha256: str) -> None: ...

    def find_token(self, sha256: str) -> Token | None:
        """Return a token that is neither revoked nor expired; notes the use once a minute."""

    def tokens(self, team: str | None = None) -> list[Token]: ...

    def revoke_token(self, id: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class SecretInfo:
    """What may be told of a secret. `key_id` names the key that its value is encrypted under."""

    team: str
    name: str
    version: int
    changed_at: datetime
    changed_by: str
    key_id: str


class Secrets(Protocol):
    """Sealed values only: no key is known here."""

    def listing(self, teams: Sequence[str] | None) -> list[SecretInfo]:
        """Return the secrets of those teams (None: of all), by team and name."""

    def find(self, team: str, names: Collection[str]) -> list[SealedSecret]:
        """Return those that exist."""

    def sealed_otherwise(self, key_id: str) -> list[SealedSecret]:
        """Return all that are under another key."""

    def put(self, new: SealedSecret, *, before: int | None, actor: str) -> bool:
        """Store it and an audit row if the present version is `before` (None: there is none)."""

    def reseal(self, old: SealedSecret, new: SealedSecret, *, actor: str) -> bool:
        """Put the same value under another key, with an audit row, if it is still the old one."""

    def remove(self, team: str, name: str, *, actor: str) -> int | None:
        """Remove it, with an audit row; return the version it had, None if there was none."""
